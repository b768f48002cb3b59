import { Redis } from "ioredis";
import { expect, run } from "./common.mjs";

function connect(port, options = {}) {
  const client = new Redis({ host: "127.0.0.1", port, ...options });
  client.on("error", () => {}); // else each lost connection is printed; calls fail or wait by themselves
  return client;
}

run({
  checks(port, key) {
    const client = connect(port);
    return {
      defaults: async () => expect(await client.incr(key + ":a"), 1),
      protocol: async () => {
        const told = await client.call("HELLO");
        return "RESP" + (Array.isArray(told) ? told[told.indexOf("proto") + 1] : told.proto ?? told.get?.("proto"));
      },
      RESP2: async () => expect(await connect(port, { protocol: 2 }).set(key + ":b", 2, "EX", 60), "OK"),
      RESP3: async () => expect(await connect(port, { protocol: 3 }).set(key + ":b", 3, "EX", 60), "OK"),
      pipeline: async () => {
        const pipeline = client.pipeline();
        for (let i = 0; i < 100; i++) pipeline.incr(key + ":p");
        (await pipeline.exec()).forEach(([error, value], i) => expect(error ?? value, i + 1));
      },
      MULTI: async () => expect((await client.multi().incrby(key + ":m", 5).decr(key + ":m").exec())[1][1], 4),
      WATCH: async () => {
        await client.watch(key + ":m");
        const value = Number(await client.get(key + ":m"));
        expect((await client.multi().set(key + ":m", value * 2).exec())[0][1], "OK");
      },
      errors: async () => {
        await client.set(key + ":e", "9223372036854775807");
        const told = await client.incr(key + ":e").catch((error) => error);
        if (!(told instanceof Error)) throw new Error("no overflow was told");
        await client.decr(key + ":e");
      },
      SCAN: async () => {
        let count = 0;
        for await (const keys of client.scanStream({ match: key + ":*", count: 10 })) count += keys.length;
        if (count < 4) throw new Error(`${count} keys`);
      },
    };
  },
  async counting(port, once) {
    const client = connect(port, once ? { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 } : {});
    return (key) => client.incr(key);
  },
});
