// The server's side of RFC 6455 on a raw socket: handshake answer, frames, pings, closing.
import { createHash } from 'node:crypto';
import { decodeUtf8 } from './forms.mjs';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const MAX_MESSAGE = 1024 * 1024;
const MAX_UNSENT = 1024 * 1024; // bytes waiting for a client that does not read
const IN_KERNEL = 64 * 1024; // not more than this is handed to the socket at a time
const STALLED = 15_000; // ms without any of it leaving
const PING_EVERY = 20_000; // and the answer must come before the next one
const LINGER = 15_000; // for a client that we have cut off to read why
const CLOSE_WAIT = 5_000; // for the other side's close frame

const [TEXT, BINARY, CLOSE, PING, PONG] = [1, 2, 8, 9, 10];

export function frame(opcode, payload) {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  if (length < 126) head[1] = length;
  else if (length < 65536) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([head, payload]);
}

export const textFrame = (text) => frame(TEXT, Buffer.from(text, 'utf8'));

/** Is this request a proper WebSocket handshake? → null, or [status, detail, headers]. */
export function handshakeProblem(request) {
  const { headers } = request;
  if (headers['sec-websocket-version'] !== '13') return [426, 'Only version 13 of WebSocket is spoken here', { 'Sec-WebSocket-Version': '13' }];
  const key = headers['sec-websocket-key'] ?? '';
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) return [400, 'Sec-WebSocket-Key is missing or broken', {}];
  return null;
}

export class Connection {
  #socket;
  #input = []; // chunks not yet parsed
  #inputSize = 0;
  #needed = 2;
  #fragments = null; // {opcode, chunks, size} of a message that is not whole yet
  #unsent = []; // frames the socket has not been given yet
  #unsentSize = 0;
  #state = 'open'; // → 'closing' (our close frame is out) → 'closed'
  #leftHandled = false;
  #pong = true;
  #timers = new Set();
  #stalledSince = 0;

  onText = () => {};
  onBinary = () => {};
  onLeft = () => {}; // once, as soon as the connection is of no use any more

  constructor(request, socket, head, { subprotocol } = {}) {
    this.#socket = socket;
    const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64');
    socket.setNoDelay(true);
    socket.setTimeout(0);
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => this.#gone());
    socket.on('end', () => this.#finish());
    socket.on('drain', () => this.#pump());
    if (head.length > 0) socket.unshift(head); // what came right behind the handshake
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.write(
      ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`]
        .concat(subprotocol ? [`Sec-WebSocket-Protocol: ${subprotocol}`] : [])
        .join('\r\n') + '\r\n\r\n',
    );
    this.#every(PING_EVERY, () => this.#checkPulse());
    this.#every(1000, () => this.#checkStall());
  }

  get open() {
    return this.#state === 'open';
  }

  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  send(bytes) {
    if (this.#state !== 'open') return;
    this.#unsent.push(bytes);
    this.#unsentSize += bytes.length;
    this.#pump();
    if (this.#unsentSize > MAX_UNSENT) this.#cutOff();
  }

  close(code, reason = '') {
    if (this.#state !== 'open') return;
    this.#sendClose(code, reason);
    this.#after(CLOSE_WAIT, () => this.#socket.destroy());
  }

  destroy() {
    this.#socket.destroy();
  }

  // ------------------------------------------------------------ out

  #pump() {
    while (this.#unsent.length > 0 && this.#socket.writableLength < IN_KERNEL) {
      const bytes = this.#unsent.shift();
      this.#unsentSize -= bytes.length;
      this.#socket.write(bytes, () => {
        this.#stalledSince = 0; // something has left
      });
    }
  }

  /** The client does not read: what waits for it is dropped, so that the close frame comes next. */
  #cutOff() {
    if (this.#state !== 'open') return;
    this.#unsent = [];
    this.#unsentSize = 0;
    this.#sendClose(1013, 'You do not read what is sent to you');
    this.#finish(LINGER);
  }

  #sendClose(code, reason) {
    const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
    payload.writeUInt16BE(code);
    payload.write(reason, 2);
    for (const bytes of this.#unsent.splice(0)) this.#socket.write(bytes);
    this.#unsentSize = 0;
    this.#socket.write(frame(CLOSE, payload));
    this.#state = 'closing';
    this.#leave();
  }

  /** Nothing more to send: end our side, and do not wait for the other for ever. */
  #finish(linger = CLOSE_WAIT) {
    this.#state = 'closed';
    this.#leave();
    this.#socket.end();
    this.#input = [];
    this.#after(linger, () => this.#socket.destroy());
  }

  #leave() {
    if (this.#leftHandled) return;
    this.#leftHandled = true;
    this.onLeft();
  }

  #gone() {
    this.#state = 'closed';
    for (const timer of this.#timers) clearInterval(timer);
    this.#unsent = [];
    this.#input = [];
    this.#leave();
  }

  #checkPulse() {
    if (this.#state !== 'open') return;
    if (!this.#pong) {
      this.#cutOff();
      return;
    }
    this.#pong = false;
    this.send(frame(PING, Buffer.from('pulse')));
  }

  #checkStall() {
    if (this.#state !== 'open' || this.#socket.writableLength === 0) {
      this.#stalledSince = 0;
    } else if (this.#stalledSince === 0) {
      this.#stalledSince = Date.now();
    } else if (Date.now() - this.#stalledSince > STALLED) {
      this.#cutOff();
    }
  }

  #every(milliseconds, action) {
    const timer = setInterval(action, milliseconds);
    timer.unref();
    this.#timers.add(timer);
  }

  #after(milliseconds, action) {
    const timer = setTimeout(action, milliseconds);
    timer.unref();
    this.#timers.add(timer);
  }

  // ------------------------------------------------------------ in

  #receive(chunk) {
    if (this.#state === 'closed') return;
    this.#input.push(chunk);
    this.#inputSize += chunk.length;
    while (this.#state !== 'closed' && this.#inputSize >= this.#needed) {
      if (this.#input.length > 1) this.#input = [Buffer.concat(this.#input)];
      const taken = this.#parse(this.#input[0]);
      if (taken === 0 || this.#state === 'closed') return; // not all there yet: #needed says how much must be
      this.#input[0] = this.#input[0].subarray(taken);
      this.#inputSize -= taken;
      this.#needed = 2;
    }
  }

  /** Handles one frame at the start of `bytes`; returns its length, or 0 if it is not all there yet. */
  #parse(bytes) {
    const final = (bytes[0] & 0x80) !== 0;
    const opcode = bytes[0] & 0x0f;
    const control = opcode >= 8;
    let length = bytes[1] & 0x7f;
    if ((bytes[0] & 0x70) !== 0) return this.#fail(1002, 'Reserved bits are set');
    if (![0, TEXT, BINARY, CLOSE, PING, PONG].includes(opcode)) return this.#fail(1002, 'Unknown kind of frame');
    if ((bytes[1] & 0x80) === 0) return this.#fail(1002, 'Frames from a client must be masked');
    if (control && (!final || length > 125)) return this.#fail(1002, 'A control frame must be short and whole');
    if (!control && (opcode === 0) !== (this.#fragments !== null)) return this.#fail(1002, 'Fragments are out of order');
    const lengthBytes = length === 126 ? 2 : length === 127 ? 8 : 0;
    const headLength = 2 + lengthBytes + 4;
    if (bytes.length < headLength) return this.#wait(headLength);
    if (lengthBytes === 2) length = bytes.readUInt16BE(2);
    if (lengthBytes === 8) {
      const long = bytes.readBigUInt64BE(2);
      length = long > BigInt(MAX_MESSAGE) ? Infinity : Number(long);
    }
    if (!control && length + (this.#fragments?.size ?? 0) > MAX_MESSAGE) return this.#fail(1009, 'The message is too big');
    const total = headLength + length;
    if (bytes.length < total) return this.#wait(total);
    const mask = bytes.subarray(headLength - 4, headLength);
    const payload = Buffer.from(bytes.subarray(headLength, total));
    for (let i = 0; i < payload.length; i++) payload[i] ^= mask[i & 3];
    if (control) this.#control(opcode, payload);
    else this.#data(opcode, final, payload);
    return total;
  }

  #wait(needed) {
    this.#needed = needed;
    return 0;
  }

  #fail(code, reason) {
    if (this.#state === 'open') this.#sendClose(code, reason);
    this.#finish();
    return 0;
  }

  #data(opcode, final, payload) {
    this.#fragments ??= { opcode, chunks: [], size: 0 };
    if (payload.length > 0) this.#fragments.chunks.push(payload);
    this.#fragments.size += payload.length;
    if (!final) return;
    const { opcode: kind, chunks } = this.#fragments;
    this.#fragments = null;
    if (this.#state !== 'open') return;
    const whole = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    if (kind === BINARY) {
      this.onBinary(whole);
      return;
    }
    const text = decodeUtf8(whole);
    if (text === null) this.#fail(1007, 'Text must be UTF-8');
    else this.onText(text);
  }

  #control(opcode, payload) {
    if (opcode === PING) {
      this.send(frame(PONG, payload));
    } else if (opcode === PONG) {
      if (payload.toString('latin1') === 'pulse') this.#pong = true;
    } else {
      const code = payload.length >= 2 ? payload.readUInt16BE() : 1005;
      const legal = payload.length === 0 || (payload.length >= 2 && isCloseCode(code));
      if (!legal) this.#fail(1002, 'Not a close code');
      else if (decodeUtf8(payload.subarray(2)) === null) this.#fail(1007, 'Text must be UTF-8');
      else {
        if (this.#state === 'open') this.#sendClose(code === 1005 ? 1000 : code, '');
        this.#finish();
      }
    }
  }
}

const isCloseCode = (code) => (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
