/** Which failure a message was made of again, and by which operation. */
export interface RetryName {
  operationId: string;
  failureId: string;
}

/** Writes it as it travels, in the header `chodang-retry` and in `intake`: `<operation>/<failure>`. */
export const retryName = ({ operationId, failureId }: RetryName): string => `${operationId}/${failureId}`;

/** Reads it; undefined for what isn't one, which somebody else may have written. */
export function parseRetryName(text: unknown): RetryName | undefined {
  const [, operationId, failureId] = (typeof text === 'string' && shape.exec(text)) || [];
  return operationId !== undefined && failureId !== undefined ? { operationId, failureId } : undefined;
}

const shape = /^([1-9]\d{0,17})\/([1-9]\d{0,17})$/;

/** The pipeline's header that says of a message that an earlier delivery of it may have got anywhere. */
export const redeliveredHeader = 'chodang-redelivered';
