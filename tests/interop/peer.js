// A peer that is told what to do from outside: in a page of Chromium, and with libdatachannel's polyfill in Node.
// What it has sent and received it tells as [kind, size, SHA-256 in hexadecimal] for every message.
'use strict';

const HIGH = 4 * 1024 * 1024; // bytes that wait in a channel
const LOW = 1024 * 1024;

async function entry(data) {
  const kind = typeof data === 'string' ? 'text' : 'binary';
  const bytes = kind === 'text' ? new TextEncoder().encode(data) : new Uint8Array(data);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [kind, bytes.length, Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')];
}

function random(size) {
  const bytes = new Uint8Array(size);
  for (let start = 0; start < size; start += 65536) crypto.getRandomValues(bytes.subarray(start, start + 65536));
  return bytes;
}

function text(size) {
  // 1 to 4 bytes a character
  const pattern = 'aé€😀';
  const whole = pattern.repeat(Math.floor(size / 10));
  return whole + 'x'.repeat(size % 10);
}

function until(target, event, ready) {
  return new Promise((resolve) => {
    const look = () => {
      if (!ready()) return;
      target.removeEventListener(event, look);
      resolve();
    };
    target.addEventListener(event, look);
    look();
  });
}

class Peer {
  constructor(options) {
    this.pc = new RTCPeerConnection({ iceServers: [], ...options });
    this.channels = new Map();
    this.pc.addEventListener('datachannel', (event) => this.add(event.channel));
    this.arrived = new EventTarget();
  }

  // Channels are {label, ordered, id}; both sides know them.
  open(channels) {
    for (const { label, ordered, id } of channels)
      this.add(this.pc.createDataChannel(label, { ordered, negotiated: true, id }));
  }

  add(channel) {
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = LOW;
    const received = [];
    channel.addEventListener('message', (event) => {
      received.push(entry(event.data));
      this.arrived.dispatchEvent(new Event('message'));
    });
    this.channels.set(channel.label, { channel, received });
    this.arrived.dispatchEvent(new Event('channel'));
  }

  async offer(channels) {
    this.open(channels);
    if (this.pc.signalingState === 'stable') await this.pc.setLocalDescription(await this.pc.createOffer());
    return this.described();
  }

  async answer(sdp, channels) {
    await this.pc.setRemoteDescription({ type: 'offer', sdp });
    this.open(channels);
    await this.pc.setLocalDescription(await this.pc.createAnswer());
    return this.described();
  }

  async accept(sdp) {
    await this.pc.setRemoteDescription({ type: 'answer', sdp });
  }

  async described() {
    await until(this.pc, 'icegatheringstatechange', () => this.pc.iceGatheringState === 'complete');
    return this.pc.localDescription.sdp;
  }

  // A channel that only we know; the other side is told in band (RFC 8832).
  async openInBand(label, ordered) {
    this.add(this.pc.createDataChannel(label, { ordered }));
  }

  async opened(label) {
    await until(this.arrived, 'channel', () => this.channels.has(label));
    const { channel } = this.channels.get(label);
    await until(channel, 'open', () => channel.readyState === 'open');
    return { ordered: channel.ordered, id: channel.id };
  }

  // messages: [kind, size] of each
  async send(label, messages) {
    const { channel } = this.channels.get(label);
    const sent = [];
    for (const [kind, size] of messages) {
      if (channel.bufferedAmount > HIGH)
        await until(channel, 'bufferedamountlow', () => channel.bufferedAmount <= LOW);
      const data = kind === 'text' ? text(size) : random(size);
      channel.send(data);
      sent.push(entry(data));
    }
    return Promise.all(sent);
  }

  // The next so many messages, in the order in which they came.
  async received(label, count) {
    const { received } = this.channels.get(label);
    await until(this.arrived, 'message', () => received.length >= count);
    return Promise.all(received.splice(0, count));
  }

  async closed(label) {
    const { channel } = this.channels.get(label);
    await until(channel, 'close', () => channel.readyState === 'closed');
  }

  async closeChannel(label) {
    this.channels.get(label).channel.close();
  }

  async close() {
    this.pc.close();
  }
}

globalThis.peers = new Map();

// What the tests call: a method of the peer with this number, "new" for its constructor.
globalThis.call = async (number, method, args) => {
  if (method === 'new') {
    peers.set(number, new Peer(...args));
    return null;
  }
  return (await peers.get(number)[method](...args)) ?? null;
};
