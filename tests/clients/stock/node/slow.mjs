// `slow.mjs ioredis|node-redis plain|cluster PORT KEY TIMEOUT_MS [REMEDY]`: four increments at once, whose answers come later than
// the client waits. By default both wait for ever; a time-out of a command is an option of theirs.
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";

const [library, where, port, key, timeout, remedy] = process.argv.slice(2);
const ms = Number(timeout);

async function ioredis() {
  const once = remedy ? { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 } : {};
  const options = { ...once, ...(ms ? { commandTimeout: ms } : {}) };
  const client = where === "cluster"
    ? new Cluster([{ host: "127.0.0.1", port: Number(port) }], { redisOptions: options, ...(remedy ? { maxRedirections: 0 } : {}) })
    : new Redis({ host: "127.0.0.1", port: Number(port), ...options });
  client.on("error", () => {});
  return () => client.incr(key);
}

async function nodeRedis() {
  const options = { ...(remedy ? { disableOfflineQueue: true } : {}), ...(ms ? { commandOptions: { timeout: ms } } : {}) };
  const client = where === "cluster"
    ? createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }], defaults: options, ...(remedy ? { maxCommandRedirections: 0 } : {}) })
    : createClient({ url: `redis://127.0.0.1:${port}`, ...options });
  client.on("error", () => {});
  await client.connect();
  return () => client.incr(key);
}

const incr = await (library === "ioredis" ? ioredis() : nodeRedis());
const told = {};
await Promise.all([1, 2, 3, 4].map(async () => {
  const text = await incr().then(() => "<nil>", (error) => String(error.message || error));
  told[text] = (told[text] ?? 0) + 1;
}));
console.log(JSON.stringify(told));
process.exit(0);
