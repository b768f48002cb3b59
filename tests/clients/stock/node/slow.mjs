// `slow.mjs ioredis|node-redis slow|pool plain|cluster PORTS KEY TIMEOUT_MS [REMEDY]`: see ../README.md.
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";

const [library, what, where, ports, key, timeout, remedy] = process.argv.slice(2);
const ms = Number(timeout);
const numbers = ports.split(",").map(Number);

async function ioredis() {
  const once = remedy ? { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 } : {};
  const options = { ...once, ...(ms ? { commandTimeout: ms } : {}) };
  const client = where === "cluster"
    ? new Cluster(numbers.map((port) => ({ host: "127.0.0.1", port })), { redisOptions: options, ...(remedy ? { maxRedirections: 0 } : {}) })
    : new Redis({ host: "127.0.0.1", port: numbers[0], ...options });
  client.on("error", () => {});
  return () => client.incr(key);
}

async function nodeRedis() {
  const options = { ...(remedy ? { disableOfflineQueue: true } : {}), ...(ms ? { commandOptions: { timeout: ms } } : {}) };
  const urls = numbers.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
  const client = where === "cluster"
    ? createCluster({ rootNodes: urls, defaults: options, ...(remedy ? { maxCommandRedirections: 0 } : {}) })
    : createClient({ ...urls[0], ...options });
  client.on("error", () => {});
  await client.connect();
  return () => client.incr(key);
}

const incr = await (library === "ioredis" ? ioredis() : nodeRedis());

const once = () => incr().then(() => "<nil>", (error) => String(error.message || error));

async function counts() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const start = Date.now();
    const text = await once();
    console.log(`${start} ${Date.now() - start} ${text.replaceAll("\n", " ")}`);
  }
}

if (what === "pool") {
  for (let worker = 0; worker < 4; worker++) counts();
  process.stdin.on("end", () => process.exit(0)).resume();
} else {
  const told = {};
  await Promise.all([1, 2, 3, 4].map(async () => {
    const text = await once();
    told[text] = (told[text] ?? 0) + 1;
  }));
  console.log(JSON.stringify(told));
  process.exit(0);
}
