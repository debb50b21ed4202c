import { connect } from 'amqplib';

/**
 * How many messages wait in a queue, right now. What a consumer holds is not among them: stop it first, and ask until
 * the answer is right.
 */
export async function depthOf(url: string, queue: string): Promise<number> {
  const connection = await connect(url);
  try {
    return (await (await connection.createChannel()).checkQueue(queue)).messageCount;
  } finally {
    await connection.close();
  }
}
