// A small OpenAPI description, made from the routes: enough for tools and for the page at /docs.

const BODIES = {
  'POST /todos': { title: 'string', description: 'string', completed: 'boolean' },
  'PUT /todos/{int}': { title: 'string', description: 'string', completed: 'boolean' },
  'PATCH /todos/{int}': { title: 'string', description: 'string', completed: 'boolean' },
  'POST /auth/register': { username: 'string', password: 'string' },
  'POST /jobs': { text: 'string', run_at: 'string' },
  'POST /posts': { title: 'string', body: 'string' },
  'PATCH /posts/{int}': { title: 'string', body: 'string' },
  'POST /posts/{int}/comments': { body: 'string' },
  'PATCH /comments/{int}': { body: 'string' },
  'PUT /users/{int}/role': { role: 'string' },
};
const FORMS = { 'POST /auth/token': ['application/x-www-form-urlencoded', { username: 'string', password: 'string' }] };
const UPLOADS = { 'POST /images': ['multipart/form-data', { file: 'binary' }], 'POST /jobs/file': ['multipart/form-data', { file: 'binary', run_at: 'string' }] };
const LIST = ['limit', 'offset'];
const QUERIES = {
  'GET /todos': ['completed', ...LIST], 'GET /images': LIST, 'GET /jobs': ['status', ...LIST], 'GET /weather': ['city'],
  'GET /posts': ['author', 'include_deleted', ...LIST], 'GET /posts/{int}': ['include_deleted'], 'GET /posts/{int}/comments': ['include_deleted', ...LIST],
  'GET /users': LIST, 'GET /chat/messages': ['before', 'after', 'limit'],
};

const properties = (fields) =>
  Object.fromEntries(Object.entries(fields).map(([name, type]) => [name, type === 'binary' ? { type: 'string', format: 'binary' } : { type }]));

export function openApi(routes, stage) {
  const paths = {};
  for (const { method, path, access } of routes) {
    const key = `${method} ${path}`;
    const [mediaType, fields] = FORMS[key] ?? UPLOADS[key] ?? (BODIES[key] ? ['application/json', BODIES[key]] : []);
    const kind = /\{(\w+)\}/.exec(path)?.[1];
    const parameters = (QUERIES[key] ?? []).map((name) => ({ name, in: 'query', required: name === 'city', schema: { type: 'string' } }));
    if (kind) parameters.unshift({ name: 'id', in: 'path', required: true, schema: kind === 'uuid' ? { type: 'string', format: 'uuid' } : { type: 'integer' } });
    (paths[path.replace(/\{\w+\}/, '{id}')] ??= {})[method.toLowerCase()] = {
      summary: key.replace(/\{\w+\}/, '{id}'),
      ...(parameters.length > 0 ? { parameters } : {}),
      ...(mediaType ? { requestBody: { required: true, content: { [mediaType]: { schema: { type: 'object', properties: properties(fields) } } } } } : {}),
      ...(access === 'open' ? {} : { security: [{ password: [] }] }),
      responses: { default: { description: 'See the contract' } },
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'The contract in plain Node.js', version: `stage ${stage}` },
    paths,
    ...(stage >= 3 ? { components: { securitySchemes: { password: { type: 'oauth2', flows: { password: { tokenUrl: '/auth/token', scopes: {} } } } } } } : {}),
  };
}
