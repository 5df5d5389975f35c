// The two kinds of HTML form bodies: application/x-www-form-urlencoded and multipart/form-data.
// Both return null for what they cannot make sense of.

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function decodeUtf8(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** `text/plain; charset="utf-8"` → {type: 'text/plain', parameters: {charset: 'utf-8'}}. */
export function parseMediaType(header = '') {
  const [type] = header.split(';', 1);
  return { type: type.trim().toLowerCase(), parameters: parseParameters(header.slice(type.length)) };
}

function parseParameters(text) {
  const parameters = {};
  for (const [, name, quoted, token] of text.matchAll(/;\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/g)) {
    // A browser writes `"` in a file name as %22; only other programs use backslashes.
    parameters[name.toLowerCase()] ??= quoted === undefined ? token : quoted.replace(/\\(["\\])/g, '$1');
  }
  return parameters;
}

/** → Map of name → value (the last one counts), or null. */
export function parseUrlEncoded(bytes) {
  const fields = new Map();
  for (const pair of bytes.toString('latin1').split('&')) {
    if (pair === '') continue;
    const cut = pair.indexOf('=');
    const [name, value] = (cut < 0 ? [pair, ''] : [pair.slice(0, cut), pair.slice(cut + 1)]).map(percentDecode);
    if (name === null || value === null) return null;
    fields.set(name, value);
  }
  return fields;
}

function percentDecode(text) {
  const raw = text.replaceAll('+', ' ').replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return decodeUtf8(Buffer.from(raw, 'latin1'));
}

const MAX_PARTS = 32;
const MAX_PART_HEADERS = 8 * 1024;

/** → [{name, filename (undefined for a plain field), contentType, data}], or null. */
export function parseMultipart(body, boundary) {
  if (!boundary || boundary.length > 200) return null;
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  const first = delimiter.subarray(2);
  const parts = [];
  // The first delimiter may be at the very start, without a line break before it.
  let next = body.subarray(0, first.length).equals(first) ? afterDelimiter(body, first.length) : null;
  next ??= findDelimiter(body, delimiter, 0);
  while (next && !next.last) {
    const at = next.end;
    next = findDelimiter(body, delimiter, at - 2); // a part may be empty, down to its line break
    if (!next || parts.length === MAX_PARTS) return null;
    const headersEnd = body.indexOf('\r\n\r\n', at - 2);
    if (headersEnd < 0 || headersEnd > next.start || headersEnd - at > MAX_PART_HEADERS) return null;
    const part = parsePart(body.subarray(at, Math.max(at, headersEnd)), body.subarray(Math.min(headersEnd + 4, next.start), next.start));
    if (!part) return null;
    parts.push(part);
  }
  return next ? parts : null;
}

/** The next delimiter from `from` on that is really one → {start, end, last}, or null. */
function findDelimiter(body, delimiter, from) {
  for (let start = from; (start = body.indexOf(delimiter, start)) >= 0; start++) {
    const found = afterDelimiter(body, start + delimiter.length);
    if (found) return { start, ...found };
  }
  return null;
}

/** Behind a delimiter comes "--" (the last one) or a line break. */
function afterDelimiter(body, at) {
  if (body[at] === 0x2d && body[at + 1] === 0x2d) return { end: at + 2, last: true };
  while (body[at] === 0x20 || body[at] === 0x09) at++;
  return body[at] === 0x0d && body[at + 1] === 0x0a ? { end: at + 2, last: false } : null;
}

function parsePart(head, data) {
  const headers = {};
  for (const text of head.toString('utf8').split('\r\n')) {
    const cut = text.indexOf(':');
    if (cut > 0) headers[text.slice(0, cut).trim().toLowerCase()] ??= text.slice(cut + 1).trim();
  }
  const { type, parameters } = parseMediaType(headers['content-disposition']);
  if (type !== 'form-data' || parameters.name === undefined) return null;
  let { filename } = parameters;
  const extended = /^utf-8'[^']*'(.*)$/i.exec(parameters['filename*'] ?? '');
  if (extended) filename = percentDecode(extended[1].replaceAll('+', '%2B')) ?? filename;
  return { name: parameters.name, filename, contentType: headers['content-type'], data };
}
