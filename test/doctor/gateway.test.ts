import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadConfig } from '../../src/config/load.ts';
import { simulatorUrl } from '../support/servers.ts';
import { found, says } from './patient.ts';

describe('the doctor on the gateway', () => {
  const servers: Server[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.close();
      await once(server, 'close');
    }
  });
  /** Starts something that answers everything with this status. */
  async function answering(status: number): Promise<string> {
    const server = createServer((_request, response) => response.writeHead(status).end());
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  async function look(url: string) {
    const settings = loadConfig({ env: {} });
    settings.tms.url = url;
    return found(settings, 'gateway');
  }

  it('is content with any answer below 500', async () => {
    says(await look(simulatorUrl()), 'answers', 'ok', /answers \(200\)/);
    for (const status of [301, 401, 404])
      says(await look(await answering(status)), 'answers', 'ok', new RegExp(`\\(${status}\\)`));
  });

  it('warns of one above', async () => {
    says(await look(await answering(503)), 'answers', 'warn', /answers 503/, /nothing is lost/);
  });

  it('finds one that refuses, and one of no such name', async () => {
    says(
      await look('http://127.0.0.1:1'),
      'answers',
      'wrong',
      /does not answer: .*ECONNREFUSED/,
      /CHODANG_TMS_URL/,
    );
    says(await look('http://tms.invalid'), 'answers', 'wrong', /ENOTFOUND|EAI_AGAIN/);
  });
});
