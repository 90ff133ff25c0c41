'use strict';

/**
 * A provider or a consumer of SOFARPC in Node.js; arguments, input and answers are those of the other programs.
 * Logs of the framework go to stderr.
 */

const readline = require('readline');
const { performance } = require('perf_hooks');
const { parseArgs } = require('util');
const { client: { RpcClient }, server: { RpcServer }, registry: { ZookeeperRegistry } } = require('sofa-rpc-node');

const LONGER_THAN_ANY_TIMEOUT_MS = 60000;
const quiet = () => {};
const loud = (...what) => console.error(...what);
const logger = { debug: quiet, info: quiet, log: quiet, warn: loud, error: loud };
const pause = millis => new Promise(resolve => setTimeout(resolve, millis));

const named = {};
for (const name of [ 'id', 'app', 'registry', 'protocol', 'bind', 'port', 'interfaces', 'timeout', 'retries', 'group', 'version' ]) {
  named[name] = { type: 'string' };
}
const { values: given, positionals: [ role ] } = parseArgs({ options: named, allowPositionals: true });

function registry() {
  return given.registry === 'none' ? undefined : new ZookeeperRegistry({ logger, address: given.registry });
}

async function provide() {
  const address = registry();
  const server = new RpcServer({
    logger, registry: address, appName: given.app, port: Number(given.port), publishAddress: given.bind,
    version: given.version || '1.0', responseTimeout: Number(given.timeout || 3000),
  });
  const counts = new Map();
  const desk = {
    async whoami() {
      return given.id;
    },
    async slow(millis) {
      await pause(millis);
      return given.id;
    },
    async attempts(key, failFirst) {
      const number = (counts.get(key) || 0) + 1;
      counts.set(key, number);
      if (number <= failFirst) await pause(LONGER_THAN_ANY_TIMEOUT_MS);
      return number;
    },
  };
  for (const interfaceName of given.interfaces.split(',')) {
    server.addService({ interfaceName, uniqueId: given.group }, desk);
  }
  await server.start();
  if (address) {
    await address.ready();
    await server.publish();
  }
  process.stdout.write('ready\n');
  process.stdin.on('end', () => process.exit(0)).resume();
}

/** Calls that go on in the background, and what became of them. */
class Steady {
  constructor() {
    this.loops = [];
    this.beginAnew();
  }

  beginAnew() {
    this.sums = { calls: 0, failed: 0, errors: {}, by: {}, slowest_ms: 0, longest_gap_ms: 0 };
  }

  start(call, everyMs, threads) {
    if (this.loops.length === 0) {
      this.ending = false;
      this.lastAnswer = performance.now();
    }
    for (let number = 0; number < threads; number++) this.loops.push(this.loop(call, everyMs));
  }

  async loop(call, everyMs) {
    let due = performance.now();
    while (!this.ending) {
      const began = performance.now();
      let answer = null;
      let failure = null;
      try {
        answer = await call();
      } catch (error) {
        failure = text(error);
      }
      this.note(performance.now() - began, answer, failure);
      due = Math.max(due + everyMs, performance.now());
      await pause(due - performance.now());
    }
  }

  note(tookMs, answer, failure) {
    const now = performance.now();
    this.sums.calls++;
    this.sums.slowest_ms = Math.max(this.sums.slowest_ms, Math.floor(tookMs));
    if (failure) {
      this.sums.failed++;
      this.sums.errors[failure] = (this.sums.errors[failure] || 0) + 1;
      return;
    }
    this.sums.by[answer] = (this.sums.by[answer] || 0) + 1;
    this.gapUntil(now);
    this.lastAnswer = now;
  }

  gapUntil(now) {
    this.sums.longest_gap_ms = Math.max(this.sums.longest_gap_ms, Math.floor(now - this.lastAnswer));
  }

  tally() {
    if (this.loops.length > 0) this.gapUntil(performance.now());
    const sums = this.sums;
    this.beginAnew();
    return sums;
  }

  async stop() {
    this.ending = true;
    await Promise.all(this.loops);
    this.loops = [];
  }
}

function text(error) {
  return `${error.name}: ${error.message}`.replace(/\s+/g, ' ');
}

async function consume() {
  const client = new RpcClient({ logger, registry: registry(), appName: given.app });
  client.on('error', error => loud(text(error)));
  const references = new Map();
  const steadies = new Map();
  const key = said => [ said.interface, said.group, said.version ].join('/');

  function steady(said) {
    const as = said.as || '';
    if (!steadies.has(as)) steadies.set(as, new Steady());
    return steadies.get(as);
  }

  async function refer(said) {
    const { serverHost, timeout, ...unknown } = said.options || {};
    if (Object.keys(unknown).length) throw new Error(`no such options here: ${Object.keys(unknown)}`);
    const options = { interfaceName: said.interface, cache: false };
    if (said.version) options.version = said.version;
    if (said.group) options.uniqueId = said.group;
    if (serverHost) options.serverHost = serverHost;
    if (timeout) options.responseTimeout = timeout;
    const consumer = client.createConsumer(options);
    await consumer.ready();
    references.set(key(said), consumer);
  }

  function call(said) {
    const consumer = references.get(key(said));
    if (!consumer) throw new Error(`no reference was made to ${key(said)}`);
    const argument = said.argument === undefined ? 'hello' : said.argument;
    return () => consumer.invoke(said.method || 'whoami', Array.isArray(argument) ? argument : [ argument ]);
  }

  async function act(said) {
    switch (said.do) {
      case 'refer':
        await refer(said);
        return {};
      case 'call':
      case 'generic':
        return { answer: await call(said)() };
      case 'steady':
        steady(said).start(call(said), said.every_ms, said.threads);
        return {};
      case 'tally':
        return steady(said).tally();
      case 'stop':
        await Promise.all([ ...steadies.values() ].map(each => each.stop()));
        return {};
      default:
        throw new Error(`can not do ${said.do}`);
    }
  }

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const began = performance.now();
    let answer;
    try {
      answer = { ...await act(JSON.parse(line)), ok: true };
    } catch (error) {
      loud(error);
      answer = { ok: false, error: text(error) };
    }
    answer.ms = Math.round((performance.now() - began) * 10) / 10;
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
  process.exit(0);
}

(role === 'provider' ? provide : consume)().catch(error => {
  loud(error);
  process.exit(1);
});
