// The peer of peer.js on libdatachannel. Reads calls, a line of JSON each, and writes what they return.
import { webcrypto } from 'node:crypto';
import { createInterface } from 'node:readline';
import polyfill from 'node-datachannel/polyfill';

Object.assign(globalThis, polyfill);
globalThis.crypto ??= webcrypto;
await import('./peer.js');

for await (const line of createInterface({ input: process.stdin })) {
  const { id, number, method, args } = JSON.parse(line);
  globalThis.call(number, method, args).then(
    (result) => console.log(JSON.stringify({ id, result })),
    (error) => console.log(JSON.stringify({ id, error: String(error) })),
  );
}
process.exit(0);
