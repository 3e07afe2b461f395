// One end of a raw data channel of libdatachannel: peer_libdatachannel.mjs send | receive SECONDS PACKAGE PATTERN
// PACKAGE: where node-datachannel is installed. PATTERN: a file with the content of all messages.
// Lines and messages are those of telling.py and payload.py.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [role, seconds, place, patternFile] = process.argv.slice(2);
const { PeerConnection } = createRequire(place + "/")("node-datachannel");
const MESSAGE = 65536;
const HIGH_WATER = 4 * 1024 * 1024;
const NUMBER_BYTES = 8;
const EVERY_MS = 5000;
const pattern = readFileSync(patternFile);

const tell = (fields) => process.stdout.write(JSON.stringify(fields) + "\n");
const now = () => Number(process.hrtime.bigint()) / 1e9;
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6; };

const input = createInterface({ input: process.stdin });
input.on("close", () => process.exit(0));

const connection = new PeerConnection("bench", { iceServers: [], maxMessageSize: 262144 });
connection.onGatheringStateChange((state) => {
  if (state === "complete") {
    const { type, sdp } = connection.localDescription();
    tell({ type, sdp });
  }
});
// The receiver does not learn the sender's addresses, so that it waits for the sender's checks. With its own checks the sender, on a
// short path, is connected before it has stored the fingerprint of the answer: then libdatachannel refuses the certificate.
const withoutCandidates = (sdp) => sdp.replace(/^a=(candidate:.*|end-of-candidates)\r\n/gm, "");
input.on("line", (line) => {
  const { type, sdp } = JSON.parse(line);
  connection.setRemoteDescription(role === "receive" ? withoutCandidates(sdp) : sdp, type);
});

function send() {
  const channel = connection.createDataChannel("bench", { unordered: true });
  let isEnough = false, next = 0, cpuBefore = 0;
  const message = Buffer.concat([Buffer.alloc(NUMBER_BYTES), pattern.subarray(0, MESSAGE - NUMBER_BYTES)]);
  const fill = () => {
    while (!isEnough && channel.bufferedAmount() <= HIGH_WATER) {
      message.writeBigUInt64BE(BigInt(next++));
      channel.sendMessageBinary(message);
    }
  };
  channel.setBufferedAmountLowThreshold(HIGH_WATER / 4);
  channel.onBufferedAmountLow(fill);
  channel.onMessage(() => {
    if (!isEnough) tell({ cpu_s: cpu() - cpuBefore });
    isEnough = true;
  });
  channel.onOpen(() => { cpuBefore = cpu(); fill(); });
}

function receive() {
  let channel, start = 0, cpuBefore = 0, bytes = 0, first = 0, isOver = false, next = 0;
  const ahead = new Set();
  const finish = (error) => {
    if (isOver) return;
    isOver = true;
    channel.sendMessage("enough");
    tell({ bytes: bytes - first, seconds: now() - start, cpu_s: cpu() - cpuBefore, error });
  };
  const check = (message) => {
    const number = Number(message.readBigUInt64BE());
    if (message.compare(pattern, 0, message.length - NUMBER_BYTES, NUMBER_BYTES) !== 0) return `message ${number} is damaged`;
    if (number < next || ahead.has(number)) return `message ${number} came twice`;
    ahead.add(number);
    while (ahead.delete(next)) next++;
    return "";
  };
  connection.onDataChannel((opened) => {
    channel = opened;
    channel.onMessage((message) => {
      if (isOver) return;
      const error = check(message);
      if (error) return finish(error);
      bytes += message.length;
      if (start) return;
      first = message.length;
      start = now();
      cpuBefore = cpu();
      setTimeout(() => finish(""), Number(seconds) * 1000);
      setInterval(() => { if (!isOver) tell({ at: now() - start, bytes: bytes - first }); }, EVERY_MS);
    });
  });
}

if (role === "send") send();
else receive();
