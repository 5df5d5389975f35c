// HTTP for a small API: finds the route of a request, reads its body, and writes its answer.
//
// A route is an object: { method: 'GET', path: '/todos/{id}', handler, guard? }. The handler gets
// a call and returns an answer, such as `json(200, todo)`. It refuses a request by throwing an
// `HttpError`. A guard runs first: it returns the user of the call, or throws.
import { createServer } from 'node:http';

const MOST_BYTES = 1024 * 1024; // of a body

/** An answer with a reason, in the form of the contract: `{"detail": …}`. */
export class HttpError extends Error {
  constructor(status, detail, headers = {}) {
    super(`${status}`);
    Object.assign(this, { status, detail, headers });
  }
}

export const json = (status, body, headers = {}) => ({ status, body, headers });
export const noContent = () => ({ status: 204, headers: {} });

/** Answer requests by these routes, until the process ends. */
export function serve(routes, port) {
  const server = createServer(async (request, response) => {
    let answer;
    try {
      answer = await answerOf(routes, request);
    } catch (error) {
      if (error.code === 'ECONNRESET') return; // the client has gone
      answer = errorAnswer(error);
    }
    send(response, answer);
    request.resume(); // the handler may not have read all of the body
    console.log(`"${request.method} ${pathOf(request.url)} HTTP/1.1" ${answer.status}`);
  });
  server.listen(port, '127.0.0.1', () => console.log(`Listening on http://127.0.0.1:${port}`));
}

async function answerOf(routes, request) {
  const path = pathOf(request.url);
  const there = routes.filter((route) => paramsOf(route.path, path));
  if (there.length === 0) return redirect(routes, request);
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const route = there.find((one) => one.method === method);
  if (!route) {
    const methods = there.map((one) => (one.method === 'GET' ? 'GET, HEAD' : one.method));
    throw new HttpError(405, 'Method not allowed', { Allow: methods.join(', ') });
  }
  const call = new Call(request, paramsOf(route.path, path));
  if (route.guard) call.user = await route.guard(call);
  const answer = await route.handler(call);
  if (!answer) throw new Error(`The handler of ${route.method} ${route.path} returns no answer`);
  return answer;
}

/** Send a client with a slash too many to the right path; 404 if there is none. */
function redirect(routes, { url }) {
  const path = pathOf(url);
  const shorter = path.replace(/\/$/, '');
  if (shorter === path || !routes.some((route) => paramsOf(route.path, shorter))) {
    throw new HttpError(404, 'Not found');
  }
  return { status: 307, headers: { Location: shorter + url.slice(path.length) } };
}

function errorAnswer(error) {
  if (error instanceof HttpError) return json(error.status, { detail: error.detail }, error.headers);
  console.error(error.stack);
  return json(500, { detail: 'Internal server error' });
}

function send(response, { status, body, headers }) {
  const text = body === undefined ? '' : JSON.stringify(body);
  if (body !== undefined) response.setHeader('Content-Type', 'application/json');
  if (status !== 204) response.setHeader('Content-Length', Buffer.byteLength(text));
  response.writeHead(status, headers).end(text);
}

const pathOf = (url) => url.split('?', 1)[0];

/** Return the parameters of a path, such as `{ id: '7' }`; undefined if it has another form. */
function paramsOf(template, path) {
  const names = template.split('/');
  const values = path.split('/');
  if (names.length !== values.length) return undefined;
  const params = {};
  for (const [n, name] of names.entries()) {
    if (name.startsWith('{') && values[n] !== '') params[name.slice(1, -1)] = values[n];
    else if (name !== values[n]) return undefined;
  }
  return params;
}

/** A request as its handler sees it. */
class Call {
  #request;

  constructor(request, params) {
    this.#request = request;
    this.params = params;
    this.headers = request.headers;
    this.query = Object.fromEntries(fields(request.url.slice(pathOf(request.url).length)));
  }

  /** Return the JSON of the body; 422 if it is not JSON, 415 if its type says so. */
  async json() {
    const text = await this.#text();
    const type = this.headers['content-type'] ?? 'application/json';
    if (!/^application\/(\S+\+)?json\b/i.test(type)) throw new HttpError(415, 'Send JSON');
    try {
      return JSON.parse(text);
    } catch {
      throw unreadable('The body is not JSON');
    }
  }

  /** Return the fields of a form. */
  async form() {
    return Object.fromEntries(fields(await this.#text()));
  }

  async #text() {
    const chunks = [];
    let size = 0;
    // Without this option, an error below would close the connection before the answer is sent.
    for await (const chunk of this.#request.iterator({ destroyOnReturn: false })) {
      size += chunk.length;
      if (size > MOST_BYTES) throw new HttpError(413, `A body has at most ${MOST_BYTES} bytes`);
      chunks.push(chunk);
    }
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
    } catch {
      throw unreadable('The body is not UTF-8');
    }
  }
}

const fields = (text) => new URLSearchParams(text);
const unreadable = (msg) => new HttpError(422, [{ type: 'unreadable', loc: ['body'], msg }]);
