// Is this a whole PNG or JPEG? Looks at the structure and walks all of the compressed data, so that
// a cut or damaged picture is refused, and takes out where it was taken (EXIF, XMP, IPTC).
// Runs in a worker thread: a big picture costs some hundreds of milliseconds.
import { createInflate, crc32 as zlibCrc32 } from 'node:zlib';

export class Refused extends Error {}
const refuse = (why) => {
  throw new Refused(why);
};

const MAX_SIDE = 20_000;
const MAX_PIXELS = 50_000_000;
const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** `image/png`, `image/jpeg` or null, by the first bytes. */
export function sniff(bytes) {
  if (bytes.subarray(0, 8).equals(PNG_SIGNATURE)) return 'image/png';
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'image/jpeg';
  return null;
}

/** → {width, height, bytes}: the picture as it is to be stored. Throws `Refused`. */
export async function inspectImage(bytes) {
  return sniff(bytes) === 'image/png' ? inspectPng(bytes) : inspectJpeg(bytes);
}

function checkSize(width, height) {
  if (width === 0 || height === 0) refuse('The picture has no size');
  if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS) {
    refuse(`The picture is too large: ${width} × ${height} pixels`);
  }
}

// ---------------------------------------------------------------- EXIF

/** The orientation (1..8) in a TIFF block, 1 when there is none. */
function orientationOf(tiff) {
  if (tiff.length < 8) return 1;
  const order = tiff.toString('latin1', 0, 2);
  if (order !== 'II' && order !== 'MM') return 1;
  const u16 = (at) => (order === 'II' ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at));
  const u32 = (at) => (order === 'II' ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at));
  const ifd = u32(4);
  if (ifd + 2 > tiff.length) return 1;
  const entries = u16(ifd);
  for (let i = 0, at = ifd + 2; i < entries && at + 12 <= tiff.length; i++, at += 12) {
    if (u16(at) === 0x0112) {
      const value = u16(at + 8);
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}

/** A TIFF block that says the orientation and nothing else. */
const orientationOnly = (orientation) =>
  Buffer.from([0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);

// ---------------------------------------------------------------- PNG

let crcTable;
function crc32(bytes) {
  if (zlibCrc32) return zlibCrc32(bytes); // Node ≥ 20.15
  crcTable ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
    return n >>> 0;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function pngChunk(type, data) {
  const chunk = Buffer.alloc(12 + data.length);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write(type, 4, 'latin1');
  data.copy(chunk, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}

const PNG_DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const PNG_CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

async function inspectPng(bytes) {
  let header = null;
  let palette = false;
  let ended = false;
  let changed = false;
  let previous = '';
  const data = []; // IDAT
  const kept = [PNG_SIGNATURE];
  let at = 8;
  while (!ended) {
    if (at + 12 > bytes.length) refuse('The PNG is cut short');
    const length = bytes.readUInt32BE(at);
    const end = at + 12 + length;
    if (end > bytes.length) refuse('The PNG is cut short');
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (!/^[A-Za-z]{4}$/.test(type)) refuse('The PNG is broken: not a chunk');
    if (crc32(bytes.subarray(at + 4, end - 4)) !== bytes.readUInt32BE(end - 4)) refuse(`The PNG is broken: checksum of ${type}`);
    const body = bytes.subarray(at + 8, end - 4);
    if (!header !== (type === 'IHDR')) refuse('The PNG is broken: IHDR');
    let chunk = bytes.subarray(at, end);
    if (type === 'IHDR') {
      header = pngHeader(body);
    } else if (type === 'PLTE') {
      if (palette || data.length > 0 || length === 0 || length % 3 !== 0 || length > 768) refuse('The PNG is broken: PLTE');
      palette = true;
    } else if (type === 'IDAT') {
      if (data.length > 0 && previous !== 'IDAT') refuse('The PNG is broken: IDAT');
      data.push(body);
    } else if (type === 'IEND') {
      ended = true;
    } else if (type === 'eXIf') {
      const orientation = orientationOf(body);
      chunk = orientation === 1 ? null : pngChunk('eXIf', orientationOnly(orientation));
    } else if (/^[tiz]T[XE]Xt$/.test(type)) {
      const keyword = body.toString('latin1', 0, Math.min(80, body.length)).split('\0')[0];
      if (/^(XML:com\.adobe\.xmp|Raw profile type .*)$/i.test(keyword)) chunk = null;
    } else if (type[0] === type[0].toUpperCase()) {
      refuse(`The PNG needs something unknown: ${type}`);
    }
    if (chunk === null || chunk.buffer !== bytes.buffer) changed = true;
    if (chunk) kept.push(chunk);
    previous = type;
    at = end;
  }
  if (at !== bytes.length) changed = true; // whatever hangs behind the picture is not kept
  if (data.length === 0) refuse('The PNG has no picture data');
  if (header.color === 3 && !palette) refuse('The PNG is broken: no palette');
  await checkPngData(header, data);
  return { width: header.width, height: header.height, bytes: changed ? Buffer.concat(kept) : bytes };
}

function pngHeader(body) {
  if (body.length !== 13) refuse('The PNG is broken: IHDR');
  const width = body.readUInt32BE(0);
  const height = body.readUInt32BE(4);
  const [depth, color, compression, filter, interlace] = body.subarray(8);
  if (!PNG_DEPTHS[color]?.includes(depth) || compression !== 0 || filter !== 0 || interlace > 1) refuse('The PNG is broken: IHDR');
  checkSize(width, height);
  return { width, height, color, interlace, bitsPerPixel: depth * PNG_CHANNELS[color] };
}

/** Inflates the picture data without keeping it: as many rows as there must be, each with a known filter. */
async function checkPngData({ width, height, interlace, bitsPerPixel }, data) {
  const passes = (interlace ? ADAM7 : [[0, 0, 1, 1]])
    .map(([x, y, dx, dy]) => ({
      rows: Math.ceil((height - y) / dy),
      stride: 1 + Math.ceil((Math.ceil((width - x) / dx) * bitsPerPixel) / 8),
    }))
    .filter(({ rows, stride }) => rows > 0 && stride > 1);
  const inflate = createInflate({ chunkSize: 256 * 1024 });
  for (const part of data) inflate.write(part);
  inflate.end();
  let pass = 0;
  let row = 0;
  let nextFilter = 0; // where the next row begins, counted from the start of `chunk`
  try {
    for await (const chunk of inflate) {
      while (pass < passes.length && nextFilter < chunk.length) {
        if (chunk[nextFilter] > 4) refuse('The PNG is broken: filter');
        nextFilter += passes[pass].stride;
        if (++row === passes[pass].rows) {
          pass++;
          row = 0;
        }
      }
      if (pass === passes.length && nextFilter < chunk.length) refuse('The PNG is broken: too much data');
      nextFilter -= chunk.length;
    }
  } catch (error) {
    if (error instanceof Refused) throw error;
    refuse('The PNG is broken: its data cannot be unpacked');
  } finally {
    inflate.destroy();
  }
  if (pass < passes.length || nextFilter > 0) refuse('The PNG is cut short');
}

// ---------------------------------------------------------------- JPEG

const MAX_SCANS = 100;

function inspectJpeg(bytes) {
  const tables = { dc: [], ac: [], quantisation: new Set() };
  const kept = [bytes.subarray(0, 2)];
  let frame = null;
  let restartInterval = 0;
  let scans = 0;
  let orientation = 1;
  let at = 2;
  for (;;) {
    if (at + 2 > bytes.length) refuse('The JPEG is cut short');
    if (bytes[at] !== 0xff) refuse('The JPEG is broken: no marker where one must be');
    const start = at;
    while (bytes[at] === 0xff) at++; // any number of fill bytes
    const marker = bytes[at++];
    if (marker === undefined) refuse('The JPEG is cut short');
    if (marker === 0xd9) {
      kept.push(bytes.subarray(start, at));
      break;
    }
    if (marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) refuse('The JPEG is broken: unexpected marker');
    if (at + 2 > bytes.length) refuse('The JPEG is cut short');
    const length = bytes.readUInt16BE(at);
    const end = at + length;
    if (length < 2 || end > bytes.length) refuse('The JPEG is cut short');
    const body = bytes.subarray(at + 2, end);
    at = end;
    let keep = true;
    if (marker === 0xc4) {
      readHuffmanTables(body, tables);
    } else if (marker === 0xdb) {
      readQuantisation(body, tables);
    } else if (marker === 0xdd) {
      if (body.length !== 2) refuse('The JPEG is broken: restart interval');
      restartInterval = body.readUInt16BE(0);
    } else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc8 && marker !== 0xcc) {
      if (marker > 0xc2) refuse('The JPEG is of a kind that browsers do not show');
      if (frame) refuse('The JPEG is broken: two frames');
      frame = readFrame(body, marker === 0xc2);
    } else if (marker === 0xcc || marker === 0xc8 || marker === 0xdc || marker === 0xde || marker === 0xdf) {
      refuse('The JPEG is of a kind that browsers do not show');
    } else if (marker === 0xda) {
      if (!frame) refuse('The JPEG is broken: a scan before its frame');
      if (++scans > MAX_SCANS) refuse('The JPEG has too many scans');
      at = walkScan(bytes, end, readScan(body, frame, tables), frame, restartInterval);
    } else if (marker === 0xe1 || marker === 0xed) {
      keep = false; // EXIF and XMP, IPTC
      if (body.toString('latin1', 0, 6) === 'Exif\0\0' && orientation === 1) orientation = orientationOf(body.subarray(6));
    } else if (marker === 0xe2 && body.toString('latin1', 0, 4) === 'MPF\0') {
      keep = false; // an index of further pictures behind this one, which are not kept
    }
    kept.push(keep ? bytes.subarray(start, at) : null);
  }
  if (!frame || frame.components.some((component) => !component.seen)) refuse('The JPEG has no picture data');
  const result = { width: frame.width, height: frame.height, bytes };
  if (kept.includes(null) || at !== bytes.length) {
    const parts = kept.filter(Boolean);
    if (orientation !== 1) {
      const exif = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), orientationOnly(orientation)]);
      const head = Buffer.from([0xff, 0xe1, 0, exif.length + 2]);
      // Behind the JFIF header if there is one: it wants to be first.
      const jfif = parts[1]?.[0] === 0xff && parts[1]?.[1] === 0xe0;
      parts.splice(jfif ? 2 : 1, 0, head, exif);
    }
    result.bytes = Buffer.concat(parts);
  }
  return result;
}

function readHuffmanTables(body, tables) {
  let at = 0;
  while (at < body.length) {
    if (at + 17 > body.length) refuse('The JPEG is broken: Huffman table');
    const kind = body[at] >> 4;
    const id = body[at] & 15;
    const counts = body.subarray(at + 1, at + 17);
    const total = counts.reduce((sum, count) => sum + count, 0);
    if (kind > 1 || id > 3 || total > 256 || at + 17 + total > body.length) refuse('The JPEG is broken: Huffman table');
    const symbols = body.subarray(at + 17, at + 17 + total);
    let code = 0;
    for (let length = 1; length <= 16; length++) {
      code = (code << 1) + counts[length - 1];
      if (code > 1 << length) refuse('The JPEG is broken: Huffman table');
    }
    tables[kind === 0 ? 'dc' : 'ac'][id] = { counts, symbols, lookup: null };
    at += 17 + total;
  }
}

/** 65536 entries `length << 8 | symbol`, by the next 16 bits; made when a scan first needs it. */
function lookupOf(table) {
  if (!table.lookup) {
    const lookup = new Uint16Array(65536);
    let at = 0;
    let symbol = 0;
    for (let length = 1; length <= 16; length++) {
      for (let n = table.counts[length - 1]; n > 0; n--) {
        const span = 1 << (16 - length);
        lookup.fill((length << 8) | table.symbols[symbol++], at, at + span);
        at += span;
      }
    }
    table.lookup = lookup;
  }
  return table.lookup;
}

function readQuantisation(body, tables) {
  let at = 0;
  while (at < body.length) {
    const wide = body[at] >> 4;
    const id = body[at] & 15;
    at += 1 + (wide ? 128 : 64);
    if (wide > 1 || id > 3 || at > body.length) refuse('The JPEG is broken: quantisation table');
    tables.quantisation.add(id);
  }
}

function readFrame(body, progressive) {
  if (body.length < 6 || body.length !== 6 + 3 * body[5]) refuse('The JPEG is broken: frame');
  const height = body.readUInt16BE(1);
  const width = body.readUInt16BE(3);
  if (body[0] !== 8 || ![1, 3, 4].includes(body[5])) refuse('The JPEG is of a kind that browsers do not show');
  checkSize(width, height);
  const components = [];
  for (let at = 6; at < body.length; at += 3) {
    const component = { id: body[at], h: body[at + 1] >> 4, v: body[at + 1] & 15, table: body[at + 2], seen: false };
    if (component.h < 1 || component.h > 4 || component.v < 1 || component.v > 4 || component.table > 3) refuse('The JPEG is broken: frame');
    if (components.some(({ id }) => id === component.id)) refuse('The JPEG is broken: frame');
    components.push(component);
  }
  const hMax = Math.max(...components.map(({ h }) => h));
  const vMax = Math.max(...components.map(({ v }) => v));
  const mcusAcross = Math.ceil(width / (8 * hMax));
  const mcusDown = Math.ceil(height / (8 * vMax));
  for (const component of components) {
    component.blocksAcross = Math.ceil(Math.ceil((width * component.h) / hMax) / 8);
    component.blocksDown = Math.ceil(Math.ceil((height * component.v) / vMax) / 8);
    component.stride = mcusAcross * component.h;
    // Progressive refinement depends on which coefficients are not zero yet: one bit for each.
    component.nonzero = progressive ? new Uint32Array(2 * component.stride * mcusDown * component.v) : null;
  }
  return { width, height, progressive, components, mcusAcross, mcusDown };
}

function readScan(body, frame, tables) {
  const count = body[0];
  if (!(count >= 1 && count <= 4) || body.length !== 4 + 2 * count) refuse('The JPEG is broken: scan');
  const [from, to, approximation] = body.subarray(1 + 2 * count);
  const scan = { from, to, high: approximation >> 4, low: approximation & 15, components: [] };
  if (frame.progressive) {
    if (from > to || to > 63 || (from === 0 && to !== 0) || (from > 0 && count !== 1)) refuse('The JPEG is broken: scan');
  } else {
    scan.from = 0;
    scan.to = 63;
    scan.high = 0;
  }
  for (let i = 0; i < count; i++) {
    const component = frame.components.find(({ id }) => id === body[1 + 2 * i]);
    if (!component || scan.components.some((other) => other.component === component)) refuse('The JPEG is broken: scan');
    if (!tables.quantisation.has(component.table)) refuse('The JPEG is broken: no quantisation table');
    const needsDc = scan.from === 0 && scan.high === 0;
    const needsAc = scan.to > 0;
    const dc = tables.dc[body[2 + 2 * i] >> 4];
    const ac = tables.ac[body[2 + 2 * i] & 15];
    if ((needsDc && !dc) || (needsAc && !ac)) refuse('The JPEG is broken: no Huffman table');
    if (scan.from > 0 && !component.seen) refuse('The JPEG is broken: scan');
    component.seen = true;
    scan.components.push({ component, dc: needsDc ? lookupOf(dc) : null, ac: needsAc ? lookupOf(ac) : null });
  }
  if (count > 1 && scan.components.reduce((sum, { component: { h, v } }) => sum + h * v, 0) > 10) refuse('The JPEG is broken: scan');
  return scan;
}

/** Decodes every symbol of one scan; returns where the next marker is. */
function walkScan(bytes, start, scan, frame, restartInterval) {
  let at = start;
  let bits = 0; // the lowest `have` bits are the next ones
  let have = 0;
  let padding = 0; // how many of them are made up, because a marker or the end came
  let endOfBand = 0; // progressive: that many blocks are all zero from here on

  const fill = () => {
    while (have <= 16) {
      let byte = 0;
      if (at >= bytes.length || (bytes[at] === 0xff && bytes[at + 1] !== 0)) padding += 8;
      else {
        byte = bytes[at];
        at += byte === 0xff ? 2 : 1;
      }
      bits = ((bits << 8) | byte) & 0xffffff;
      have += 8;
    }
  };
  const spend = (count) => {
    have -= count;
    if (have < padding) refuse('The JPEG is cut short or broken: picture data');
  };
  const read = (count) => {
    if (count === 0) return 0;
    fill();
    const value = (bits >>> (have - count)) & ((1 << count) - 1);
    spend(count);
    return value;
  };
  const symbol = (lookup) => {
    fill();
    const entry = lookup[(bits >>> (have - 16)) & 0xffff];
    if (entry === 0) refuse('The JPEG is broken: picture data');
    spend(entry >> 8);
    return entry & 255;
  };
  const dcValue = (lookup) => {
    const size = symbol(lookup);
    if (size > 11) refuse('The JPEG is broken: picture data');
    read(size);
  };

  const sequential = ({ dc, ac }) => {
    dcValue(dc);
    for (let k = 1; k < 64; k++) {
      const runSize = symbol(ac);
      const run = runSize >> 4;
      const size = runSize & 15;
      if (size === 0) {
        if (run !== 15) return;
        k += 15;
      } else {
        k += run;
        if (k > 63) refuse('The JPEG is broken: picture data');
        read(size);
      }
    }
  };
  const dcFirst = ({ dc }) => dcValue(dc);
  const dcRefine = () => read(1);
  const isSet = (nonzero, block, k) => (nonzero[2 * block + (k >> 5)] >>> (k & 31)) & 1;
  const set = (nonzero, block, k) => {
    nonzero[2 * block + (k >> 5)] |= 1 << (k & 31);
  };
  const acFirst = ({ ac, component: { nonzero } }, block) => {
    if (endOfBand > 0) {
      endOfBand--;
      return;
    }
    for (let k = scan.from; k <= scan.to; k++) {
      const runSize = symbol(ac);
      const run = runSize >> 4;
      const size = runSize & 15;
      if (size === 0) {
        if (run !== 15) {
          endOfBand = (1 << run) - 1 + read(run);
          return;
        }
        k += 15;
      } else {
        k += run;
        if (k > scan.to) refuse('The JPEG is broken: picture data');
        read(size);
        set(nonzero, block, k);
      }
    }
  };
  const acRefine = ({ ac, component: { nonzero } }, block) => {
    let k = scan.from;
    if (endOfBand === 0) {
      for (; k <= scan.to; k++) {
        const runSize = symbol(ac);
        let run = runSize >> 4;
        const size = runSize & 15;
        if (size > 1) refuse('The JPEG is broken: picture data');
        if (size === 1) read(1);
        else if (run !== 15) {
          endOfBand = (1 << run) + read(run);
          break;
        }
        for (; k <= scan.to; k++) {
          if (isSet(nonzero, block, k)) read(1);
          else if (--run < 0) break;
        }
        if (size === 1) {
          if (k > scan.to) refuse('The JPEG is broken: picture data');
          set(nonzero, block, k);
        }
      }
    }
    if (endOfBand > 0) {
      for (; k <= scan.to; k++) if (isSet(nonzero, block, k)) read(1);
      endOfBand--;
    }
  };
  const decode = !frame.progressive ? sequential : scan.from === 0 ? (scan.high === 0 ? dcFirst : dcRefine) : scan.high === 0 ? acFirst : acRefine;

  let unitsLeft = restartInterval;
  let nextRestart = 0;
  const unitDone = (last) => {
    if (last || restartInterval === 0 || --unitsLeft > 0) return;
    // Byte-aligned, then RST0..RST7 in turn.
    while (bytes[at] === 0xff && bytes[at + 1] === 0xff) at++;
    if (bytes[at] !== 0xff || bytes[at + 1] !== 0xd0 + nextRestart) refuse('The JPEG is broken: restart marker');
    at += 2;
    bits = have = padding = endOfBand = 0;
    nextRestart = (nextRestart + 1) % 8;
    unitsLeft = restartInterval;
  };

  if (scan.components.length === 1) {
    const part = scan.components[0];
    const { blocksAcross, blocksDown, stride } = part.component;
    for (let y = 0; y < blocksDown; y++) {
      for (let x = 0; x < blocksAcross; x++) {
        decode(part, y * stride + x);
        unitDone(y === blocksDown - 1 && x === blocksAcross - 1);
      }
    }
  } else {
    const { mcusAcross, mcusDown } = frame;
    for (let my = 0; my < mcusDown; my++) {
      for (let mx = 0; mx < mcusAcross; mx++) {
        for (const part of scan.components) {
          const { h, v, stride } = part.component;
          for (let y = 0; y < v; y++) for (let x = 0; x < h; x++) decode(part, (my * v + y) * stride + mx * h + x);
        }
        unitDone(my === mcusDown - 1 && mx === mcusAcross - 1);
      }
    }
  }
  // Decoders skip what is left over before the next marker (padding, a last restart marker), so do we.
  while (at < bytes.length && !(bytes[at] === 0xff && bytes[at + 1] !== 0 && bytes[at + 1] !== 0xff && !(bytes[at + 1] >= 0xd0 && bytes[at + 1] <= 0xd7))) at++;
  return at;
}
