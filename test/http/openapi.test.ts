import assert from 'node:assert/strict';
import { type Api, startApi } from './api.ts';

interface Operation {
  summary?: string;
  security?: object[];
  parameters?: { name: string; in: string; required?: boolean; schema?: object }[];
  requestBody?: {
    required?: boolean;
    content: Record<string, { schema: { properties: Record<string, object> } }>;
  };
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
}
interface Document {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { securitySchemes: object };
}

describe('/openapi.json', () => {
  let api: Api;
  let document: Document;
  before(async () => {
    api = await startApi();
    const response = await api.app.inject('/openapi.json');
    assert.equal(response.statusCode, 200);
    document = response.json<Document>();
  });
  after(() => api.close());
  const operations = () =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, path, operation })),
    );

  it('is an OpenAPI 3.1 document', () => {
    assert.match(document.openapi, /^3\.1\.\d$/);
    assert.ok(document.info.title && document.info.version);
    for (const { name, path, operation } of operations()) {
      assert.match(path, /^\//, name);
      assert.ok(Object.keys(operation.responses).length > 0, `${name} has responses`);
      for (const [status, { description, content }] of Object.entries(operation.responses)) {
        assert.match(status, /^([1-5]\d\d|default)$/, name);
        assert.equal(typeof description, 'string', `${name} ${status} has a description`);
        for (const media of Object.values(content ?? {})) assert.equal(typeof media.schema, 'object', name);
      }
      const inPath = [...path.matchAll(/{(\w+)}/g)].map(([, parameter]) => parameter);
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      assert.deepEqual(
        declared.map((parameter) => parameter.name),
        inPath,
        `${name} declares its path parameters`,
      );
      for (const parameter of declared) assert.equal(parameter.required, true, name);
      for (const parameter of operation.parameters ?? [])
        assert.ok(parameter.schema, `${name} ${parameter.name}`);
    }
    // Nothing in it refers to what isn't there, or got lost on the way to JSON.
    assert.doesNotMatch(JSON.stringify(document), /"\$ref"|undefined/);
  });

  it('lists every route', () => {
    assert.deepEqual(
      operations()
        .map(({ name }) => name)
        .toSorted(),
      [
        'get /health/live',
        'get /health/ready',
        'get /metrics',
        'get /openapi.json',
        'get /v1/delay-notices',
        'get /v1/delay-notices/{id}',
        'get /v1/delay-notices/{id}/orders',
        'get /v1/delay-notices/{id}/rejected-rows',
        'get /v1/failed/groups',
        'get /v1/failed/groups/{id}',
        'get /v1/failed/messages',
        'get /v1/failed/messages/{id}',
        'get /v1/failed/operations',
        'get /v1/failed/operations/{id}',
        'get /v1/failed/operations/{id}/messages',
        'post /v1/delay-notices',
        'post /v1/delay-notices/import',
        'post /v1/failed/discards',
        'post /v1/failed/messages/{id}/edit',
        'post /v1/failed/messages/{id}/look',
        'post /v1/failed/operations/{id}/cancel',
        'post /v1/failed/operations/{id}/undo',
        'post /v1/failed/retries',
      ],
    );
  });

  it('lists the problems that each call may answer with', () => {
    const expected: Record<string, string[]> = {
      'post /v1/delay-notices': ['400', '401', '409', '413', '415', '422', '500', '503'],
      'get /v1/delay-notices': ['400', '401', '500', '503'],
      'get /v1/delay-notices/{id}': ['401', '404', '500', '503'],
      'get /v1/delay-notices/{id}/orders': ['400', '401', '404', '500', '503'],
      'get /v1/delay-notices/{id}/rejected-rows': ['400', '401', '404', '500', '503'],
      'post /v1/delay-notices/import': ['400', '401', '409', '413', '415', '422', '500', '503'],
      'get /v1/failed/groups': ['400', '401', '500', '503'],
      'get /v1/failed/groups/{id}': ['401', '404', '500', '503'],
      'get /v1/failed/messages': ['400', '401', '500', '503'],
      'get /v1/failed/messages/{id}': ['401', '404', '500', '503'],
      'get /v1/failed/operations': ['400', '401', '500', '503'],
      'get /v1/failed/operations/{id}': ['401', '404', '500', '503'],
      'get /v1/failed/operations/{id}/messages': ['400', '401', '404', '500', '503'],
      'post /v1/failed/retries': ['400', '401', '403', '413', '415', '422', '500', '503'],
      'post /v1/failed/discards': ['400', '401', '403', '413', '415', '422', '500', '503'],
      'post /v1/failed/messages/{id}/look': ['400', '401', '403', '404', '413', '415', '500', '503'],
      'post /v1/failed/messages/{id}/edit': ['400', '401', '403', '404', '413', '415', '422', '500', '503'],
      'post /v1/failed/operations/{id}/cancel': [
        '400',
        '401',
        '403',
        '404',
        '413',
        '415',
        '422',
        '500',
        '503',
      ],
      'post /v1/failed/operations/{id}/undo': ['400', '401', '403', '404', '413', '415', '422', '500', '503'],
    };
    for (const { name, operation } of operations().filter(({ path }) => path.startsWith('/v1/'))) {
      const problems = Object.entries(operation.responses)
        .filter(([, { content }]) => content?.['application/problem+json'] !== undefined)
        .map(([status]) => status);
      assert.deepEqual(problems, expected[name], name);
      const key = name.includes('/v1/failed') ? 'operatorKey' : 'apiKey';
      assert.deepEqual(operation.security, [{ [key]: [] }], name);
    }
  });

  it('describes the two kinds of files that may be imported', () => {
    const post = document.paths['/v1/delay-notices/import']?.['post'];
    assert.deepEqual(Object.keys(post?.requestBody?.content ?? {}), ['text/csv', 'application/x-ndjson']);
    assert.deepEqual(
      post?.parameters?.map((parameter) => `${parameter.in} ${parameter.name}`),
      ['header idempotency-key'],
    );
  });

  it('describes the body, the dry run and the Idempotency-Key of a notice', () => {
    const post = document.paths['/v1/delay-notices']?.['post'];
    const body = post?.requestBody?.content['application/json']?.schema;
    assert.deepEqual(Object.keys(body?.properties ?? {}), ['reason', 'detail', 'newShipDate', 'orderIds']);
    assert.deepEqual(
      post?.parameters?.map((parameter) => `${parameter.in} ${parameter.name}`),
      ['query dryRun', 'header idempotency-key'],
    );
  });
});
