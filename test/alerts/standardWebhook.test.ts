import assert from 'node:assert/strict';
import { Webhook } from 'standardwebhooks';
import { webhookBody, webhookHeaders } from '../../src/alerts/standardWebhook.ts';
import { alertKinds } from '../../src/store/alerts.ts';
import { aBundle, anAlert, newGroups } from './receiver.ts';

const secretOf = (byte: number) => `whsec_${Buffer.alloc(32, byte).toString('base64')}`;

describe('A standard webhook', () => {
  it('is signed as the example of the standard', () => {
    assert.deepEqual(
      webhookHeaders({
        secret: 'whsec_plJ3nmyCDGBKInavdOK15jsl',
        bundleId: 'loFOjxBNrRLzqYUf',
        body: '{"event_type":"ping","data":{"success":true}}',
        at: new Date(1_731_705_121_999),
      }),
      {
        'webhook-id': 'msg_loFOjxBNrRLzqYUf',
        'webhook-timestamp': '1731705121',
        'webhook-signature': 'v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=',
      },
    );
  });

  const body = webhookBody(aBundle([anAlert({ detail: { message: '초당옥수수 🌽' } })]));
  const sent = (secret: string) => webhookHeaders({ secret, bundleId: 'b', body, at: new Date() });

  it('is believed by the reference implementation, and with another secret or body it is not', () => {
    const receiver = new Webhook(secretOf(1));
    assert.deepEqual(receiver.verify(body, sent(secretOf(1))), JSON.parse(body));
    assert.throws(() => receiver.verify(body, sent(secretOf(2))), /No matching signature/);
    assert.throws(() => receiver.verify(`${body} `, sent(secretOf(1))), /No matching signature/);
  });

  it('is believed by those with the old secret and by those with the new one, while one replaces the other', () => {
    const headers = sent(`${secretOf(1)} ${secretOf(2)}`);
    for (const byte of [1, 2]) assert.ok(new Webhook(secretOf(byte)).verify(body, headers));
  });

  it('tells type, time, how many of each kind, and the alerts', () => {
    assert.deepEqual(JSON.parse(webhookBody(aBundle([anAlert()]))), {
      type: 'chodang.alerts',
      timestamp: '2026-11-27T03:00:00.000Z',
      data: {
        total: 1,
        kinds: [{ kind: 'group new', total: 1 }],
        alerts: [
          {
            kind: 'group new',
            subject: 'group 12',
            at: '2026-11-27T02:59:55.000Z',
            detail: { groupId: '12', step: 'tms', errorClass: 'TypeError', message: 'broken', open: 1 },
          },
        ],
      },
    });
  });

  it('lists fifty and counts the rest, and stays below 20 kB as the standard wants', () => {
    const storm = anAlert({ kind: 'retriable storm', subject: 'step tms' });
    const { data } = JSON.parse(webhookBody(aBundle([...newGroups(10_000), storm]))) as {
      data: { total: number; kinds: object[]; alerts: { kind: string }[] };
    };
    assert.deepEqual(data.kinds, [
      { kind: 'group new', total: 10_000 },
      { kind: 'retriable storm', total: 1 },
    ]);
    assert.deepEqual(
      [data.total, data.alerts.length, data.alerts.at(-1)?.kind],
      [10_001, 26, 'retriable storm'],
    );
    const long = {
      groupId: '1234567',
      step: 'validation',
      errorClass: 'InfrastructureError',
      message: 'x'.repeat(9_000),
      open: 99_999,
    };
    const longest = webhookBody(
      aBundle(
        alertKinds.flatMap((kind) => Array.from({ length: 99 }, () => anAlert({ kind, detail: long }))),
      ),
    );
    assert.ok(longest.length < 20_000, `${longest.length} characters`);
  });
});
