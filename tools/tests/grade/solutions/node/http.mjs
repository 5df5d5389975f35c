// A small HTTP framework: routes, errors in the contract's form, bodies that are bounded.
import http from 'node:http';
import { pipeline } from 'node:stream/promises';
import { decodeUtf8, parseMediaType, parseMultipart, parseUrlEncoded } from './forms.mjs';

export const MAX_BODY = 1024 * 1024;
export const MAX_FILE = 5 * 1024 * 1024;

const MOST_READ_AWAY = 64 * 1024 * 1024;
const LONGEST_READ_AWAY = 15_000; // ms

export class HttpError extends Error {
  constructor(status, detail, headers = {}) {
    super(typeof detail === 'string' ? detail : `${status}`);
    this.status = status;
    this.detail = detail;
    this.headers = headers;
  }
}
class ClientGone extends Error {}

export const notFound = (what = 'Not found') => new HttpError(404, what);
export const unauthorized = (why = 'A valid token is needed') => new HttpError(401, why, { 'WWW-Authenticate': 'Bearer' });
export const forbidden = (why = 'Your role may not do this') => new HttpError(403, why);
const unreadable = (msg, type = 'json_invalid') => new HttpError(422, [{ type, loc: ['body'], msg }]);

export const json = (body, status = 200, headers = {}) => ({ status, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers } });
export const created = (body, location) => json(body, 201, { Location: location });
export const noContent = () => ({ status: 204, headers: {} });

export function log(event, fields = {}) {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`);
}

/** What a handler is given. */
class Context {
  constructor(app, request, response, query) {
    this.app = app;
    this.request = request;
    this.response = response;
    this.searchParams = query;
    this.params = {};
    this.user = null;
  }

  /** The last value of that name in the query string, or undefined. */
  query(name) {
    return this.searchParams.getAll(name).at(-1);
  }

  get mediaType() {
    return parseMediaType(this.request.headers['content-type']);
  }

  /** The body, up to `limit` bytes; more is 413, as soon as that is known. */
  async bytes(limit = MAX_BODY, words = `The body is too large: at most ${limit} bytes`) {
    const { request, response } = this;
    const tooLarge = () => new HttpError(413, words);
    if (Number(request.headers['content-length']) > limit) throw tooLarge();
    if (request.waitsForLeave) response.writeContinue();
    request.waitsForLeave = false;
    return new Promise((resolve, reject) => {
      const chunks = [];
      let size = 0;
      const settle = (how, value) => {
        request.off('data', onData);
        how(value);
      };
      const onData = (chunk) => {
        size += chunk.length;
        if (size > limit) settle(reject, tooLarge());
        else chunks.push(chunk);
      };
      request.on('data', onData);
      request.once('end', () => settle(resolve, Buffer.concat(chunks)));
      request.once('error', () => settle(reject, new ClientGone()));
      request.once('close', () => settle(reject, new ClientGone()));
    });
  }

  async json() {
    const bytes = await this.bytes();
    const { type } = this.mediaType;
    if (type !== '' && type !== 'application/json' && !/^application\/[\w.-]+\+json$/.test(type)) throw unreadable('The body must be JSON (Content-Type: application/json)');
    if (bytes.length === 0) throw unreadable('A body is required', 'missing');
    const text = decodeUtf8(bytes);
    if (text === null) throw unreadable('The body is not UTF-8');
    try {
      return JSON.parse(text);
    } catch {
      throw unreadable('The body is not JSON');
    }
  }

  /** Form fields as a Map of name → text; parts with a file name are left out. */
  async form() {
    const bytes = await this.bytes();
    const { type, parameters } = this.mediaType;
    let fields = null;
    if (type === 'multipart/form-data') {
      const parts = parseMultipart(bytes, parameters.boundary);
      fields = parts && new Map(parts.filter(({ filename }) => filename === undefined).map(({ name, data }) => [name, decodeUtf8(data)]));
    } else if (type === 'application/x-www-form-urlencoded' || bytes.length === 0) {
      fields = parseUrlEncoded(bytes);
    }
    if (!fields || [...fields.values()].includes(null)) throw unreadable('The body is not a form', 'form_invalid');
    return fields;
  }

  /** The one file of a multipart upload, in the field `file`, and the other fields, of which `known` are allowed. */
  async upload(known = []) {
    const tooLarge = `The file is too large: at most ${MAX_FILE} bytes`;
    const bytes = await this.bytes(MAX_FILE + MAX_BODY, tooLarge);
    const { type, parameters } = this.mediaType;
    const field = (name, msg, kind) => new HttpError(422, [{ type: kind, loc: ['body', name], msg }]);
    if (type !== 'multipart/form-data') throw field('file', 'A multipart form with the field file is required', 'missing');
    const parts = parseMultipart(bytes, parameters.boundary);
    if (!parts) throw unreadable('The body is not a multipart form', 'form_invalid');
    let file = null;
    const fields = {};
    for (const part of parts) {
      if (part.name === 'file' && part.filename !== undefined) {
        if (file) throw field('file', 'Only one file at a time', 'value_error');
        file = part;
      } else if (known.includes(part.name) && part.filename === undefined) {
        fields[part.name] = decodeUtf8(part.data);
        if (fields[part.name] === null) throw field(part.name, 'Must be UTF-8', 'string_unicode');
      } else if (part.name !== 'file') {
        throw field(part.name.slice(0, 100), 'There is no such field', 'extra_forbidden');
      }
    }
    if (!file) throw field('file', 'Field required', 'missing');
    if (file.data.length > MAX_FILE) throw new HttpError(413, tooLarge);
    return { file, fields };
  }
}

export class App {
  #routes = [];
  #idKinds;
  draining = false;
  /** Set by the users' module: request → user or null. */
  authenticate = () => null;
  /** Awaited before any answer leaves. */
  beforeAnswer = async () => {};
  /** Takes WebSocket handshakes by path: (request, socket, head, query) → void. */
  upgrades = new Map();

  constructor() {
    this.#idKinds = {
      int: (text) => {
        if (!/^[+-]?\d+$/.test(text)) throw new HttpError(422, [{ type: 'int_parsing', loc: ['path', 'id'], msg: 'Must be a whole number' }]);
        const id = Number(text);
        if (!Number.isSafeInteger(id)) throw notFound();
        return id;
      },
      uuid: (text) => {
        if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) throw new HttpError(422, [{ type: 'uuid_parsing', loc: ['path', 'id'], msg: 'Must be a UUID' }]);
        return text.toLowerCase();
      },
    };
    const options = { requireHostHeader: false, keepAliveTimeout: 75_000, headersTimeout: 60_000, requestTimeout: 120_000 };
    this.server = http.createServer(options, (request, response) => this.#serve(request, response, false));
    this.server.on('checkContinue', (request, response) => this.#serve(request, response, true));
    this.server.on('checkExpectation', (request, response) => this.#answer(request, response, this.#errorAnswer(new HttpError(417, 'That cannot be expected here'))).catch(() => {}));
    this.server.on('clientError', (error, socket) => this.#clientError(error, socket));
    this.server.on('connect', (request, socket) => rawAnswer(socket, 405, 'This is not a proxy', { Allow: this.#allowAt('/' + request.url.replace(/^\/+/, '')) }));
    this.server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** `access`: 'open', 'user', or a list of roles. Path: `/todos/{int}`, `/jobs/{uuid}/report`. */
  route(method, path, access, handler) {
    const segments = path.split('/').map((segment) => (segment.startsWith('{') ? { kind: segment.slice(1, -1) } : { text: segment }));
    this.#routes.push({ method, path, access, handler, segments });
  }

  get routes() {
    return this.#routes.map(({ method, path, access }) => ({ method, path, access }));
  }

  #routesAt(path) {
    let parts;
    try {
      parts = path.split('/').map(decodeURIComponent);
    } catch {
      return [];
    }
    const matching = [];
    for (const route of this.#routes) {
      if (route.segments.length !== parts.length) continue;
      if (route.segments.every(({ text }, i) => (text === undefined ? parts[i] !== '' : text === parts[i]))) {
        const at = route.segments.findIndex(({ kind }) => kind);
        matching.push({ route, raw: at < 0 ? null : parts[at], kind: route.segments[at]?.kind });
      }
    }
    return matching;
  }

  #allowAt(path) {
    const methods = this.#routesAt(path).map(({ route }) => route.method);
    if (methods.includes('GET')) methods.push('HEAD');
    return [...new Set(methods)].join(', ');
  }

  async #serve(request, response, waitsForLeave) {
    request.waitsForLeave = waitsForLeave; // Expect: 100-continue
    request.on('error', () => {});
    response.on('error', () => {});
    try {
      let answer;
      try {
        answer = await this.#dispatch(request, response);
        await this.beforeAnswer();
      } catch (error) {
        answer?.stream?.destroy();
        answer = this.#errorAnswer(error, request);
      }
      if (answer) await this.#answer(request, response, answer);
    } catch (error) {
      // Only the connection can still fail here.
      if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE' && error.code !== 'ECONNRESET' && error.code !== 'EPIPE') log('answer failed', { error: String(error.stack) });
      response.destroy();
    }
  }

  async #dispatch(request, response) {
    if (!request.headers.host && request.httpVersion !== '1.0') throw new HttpError(400, 'The Host header is missing');
    const { path, search } = splitTarget(request.url);
    const matching = this.#routesAt(path);
    if (matching.length === 0) {
      const shorter = path.replace(/\/+$/, '');
      if (shorter !== path && this.#routesAt(shorter).length > 0) return { status: 307, headers: { Location: shorter + search } };
      throw notFound();
    }
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const match = matching.find(({ route }) => route.method === method);
    if (!match) throw new HttpError(405, 'Method not allowed', { Allow: this.#allowAt(path) });
    const context = new Context(this, request, response, new URLSearchParams(search));
    context.user = this.authenticate(request);
    if (match.route.access !== 'open') {
      if (!context.user) throw unauthorized();
      if (Array.isArray(match.route.access) && !match.route.access.includes(context.user.role)) throw forbidden();
    }
    if (match.kind) context.id = this.#idKinds[match.kind](match.raw);
    return match.route.handler(context);
  }

  #errorAnswer(error, request) {
    if (error instanceof ClientGone) return null;
    if (error instanceof HttpError) return json({ detail: error.detail }, error.status, error.headers);
    if (error?.code === 'ENOSPC' || error?.code === 'EIO' || error?.code === 'EDQUOT') return json({ detail: 'This cannot be stored at the moment' }, 503, { 'Retry-After': '5' });
    log('bug', { method: request?.method, path: request?.url.split('?')[0], error: String(error?.stack ?? error) });
    return json({ detail: 'Internal server error' }, 500);
  }

  async #answer(request, response, { status, headers, body, stream }) {
    if (response.headersSent || response.destroyed) {
      stream?.destroy();
      return;
    }
    response.statusCode = status;
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (this.draining) response.setHeader('Connection', 'close');
    if (!response.hasHeader('X-Content-Type-Options') && body !== undefined) response.setHeader('X-Content-Type-Options', 'nosniff');
    if (stream && request.method !== 'HEAD') {
      await pipeline(stream, response);
      return;
    }
    stream?.destroy();
    const bytes = body === undefined ? null : Buffer.from(body);
    if (bytes) response.setHeader('Content-Length', bytes.length);
    else if (status !== 204 && status !== 304 && !response.hasHeader('Content-Length')) response.setHeader('Content-Length', 0);
    if (request.waitsForLeave) {
      response.setHeader('Connection', 'close'); // no body has been sent, and none shall be
    } else if (!request.complete) {
      if (bytes) response.write(bytes);
      else response.flushHeaders();
      await readAway(request);
      response.end();
      if (!request.complete) request.socket?.destroySoon();
      return;
    }
    response.end(bytes ?? undefined);
  }

  /** What Node could not parse. The socket is all there is. */
  #clientError(error, socket) {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    if (socket._httpMessage?.headersSent) {
      socket.destroy();
      return;
    }
    if (error.code === 'HPE_INVALID_METHOD' && error.rawPacket) {
      // A method that Node does not know may still meet a path that we know: that is 405.
      const match = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ (\S+) HTTP\/1\.[01]\r\n/.exec(error.rawPacket.toString('latin1', 0, 16 * 1024));
      const path = match && /^\//.test(match[1]) ? splitTarget(match[1]).path : null;
      const allow = path && this.#allowAt(path);
      if (allow) return void rawAnswer(socket, 405, 'Method not allowed', { Allow: allow });
      if (path) return void rawAnswer(socket, 404, 'Not found');
    }
    if (error.code === 'HPE_HEADER_OVERFLOW') rawAnswer(socket, 431, 'The headers are too large');
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') rawAnswer(socket, 408, 'The request took too long');
    else rawAnswer(socket, 400, 'This is not an HTTP request');
  }

  #upgrade(request, socket, head) {
    socket.on('error', () => socket.destroy());
    let target;
    try {
      target = splitTarget(request.url);
    } catch {
      rawAnswer(socket, 400, 'This is not a request target');
      return;
    }
    const take = this.upgrades.get(target.path);
    if (take && request.method === 'GET' && /(^|[\s,])websocket($|[\s,])/i.test(request.headers.upgrade)) {
      if (this.draining) rawAnswer(socket, 503, 'The server is stopping');
      else take(request, socket, head, new URLSearchParams(target.search));
      return;
    }
    // An offer that we do not take (h2c, say) is to be ignored: the request is played again without it.
    const lines = [`${request.method} ${request.url} HTTP/${request.httpVersion}`];
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      const [name, value] = request.rawHeaders.slice(i, i + 2);
      if (/^(upgrade|http2-settings)$/i.test(name)) continue;
      lines.push(/^connection$/i.test(name) ? `Connection: ${value.split(',').filter((token) => !/^\s*(upgrade|http2-settings)\s*$/i.test(token)).join(',') || 'keep-alive'}` : `${name}: ${value}`);
    }
    if (head.length > 0) socket.unshift(head);
    socket.unshift(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'));
    this.server.emit('connection', socket);
  }
}

/** The request target → {path, search} (`search` with its `?`, or ''). */
function splitTarget(target) {
  if (!target.startsWith('/')) {
    if (!URL.canParse(target)) throw new HttpError(target === '*' ? 405 : 400, 'This is not a path', target === '*' ? { Allow: 'GET, HEAD' } : {});
    const { pathname, search } = new URL(target);
    return { path: pathname, search };
  }
  const [path] = target.split(/[?#]/, 1);
  const [rest] = target.slice(path.length).split('#', 1);
  return { path, search: rest };
}

/**
 * An answer may leave before the body has come in (401, 413). The rest is read and thrown away, so that
 * the client gets to see the answer instead of a broken connection; but not for ever.
 */
function readAway(request) {
  return new Promise((resolve) => {
    let left = MOST_READ_AWAY;
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, LONGEST_READ_AWAY);
    request.on('data', (chunk) => {
      left -= chunk.length;
      if (left < 0) done();
    });
    request.once('end', done);
    request.once('close', done);
    request.resume();
  });
}

export function rawAnswer(socket, status, detail, headers = {}) {
  const body = JSON.stringify({ detail });
  const lines = [`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`, 'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close'];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  socket.on('error', () => {});
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
  socket.resume(); // read what is left, so that the answer is not lost in a reset
  const timer = setTimeout(() => socket.destroy(), 2000);
  timer.unref();
}
