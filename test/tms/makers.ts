import type { Gateway, Notification } from '../../src/tms/gateway.ts';
import { type HttpGatewayOptions, httpGateway } from '../../src/tms/http.ts';

/** Makes one notification that a simulator delivers. */
export function notification(n: number, own: Partial<Notification> = {}): Notification {
  return {
    key: `notice-1:order-${n}`,
    to: `+82101${String(n).padStart(6, '0')}1`,
    locale: 'ko',
    template: 'WEATHER.ko',
    text: `주문번호 ${n}의 발송이 늦어집니다.`,
    ...own,
  };
}

/** Makes `count` notifications, numbered from 1. */
export const notifications = (count: number): Notification[] =>
  Array.from({ length: count }, (_, i) => notification(i + 1));

/** A gateway that recognizes repeated keys, and one that doesn't. */
export const kinds = { 'with idempotentForMs': 86_400_000, without: undefined };

/** Makes a client for the gateway at `url`, with limits that suit tests. */
export function gatewayAt(url: string, own: Partial<HttpGatewayOptions> = {}): Gateway {
  return httpGateway({ url, timeoutMs: 5_000, connections: 2, maxRecipients: 1_000, ...own });
}
