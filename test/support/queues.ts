import assert from 'node:assert/strict';

/** Lists the queues of a virtual host, as RabbitMQ's management page knows them. */
export async function queuesIn(vhost: {
  managementUrl: string;
  name: string;
}): Promise<{ name: string; type: string }[]> {
  const { origin, username, password } = new URL(vhost.managementUrl);
  const response = await fetch(`${origin}/api/queues/${vhost.name}`, {
    headers: { authorization: `Basic ${btoa(`${username}:${password}`)}` },
  });
  assert.equal(response.status, 200);
  return (await response.json()) as { name: string; type: string }[];
}
