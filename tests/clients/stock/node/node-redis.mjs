import { createClient } from "redis";
import { expect, run } from "./common.mjs";

async function connect(port, options = {}) {
  const client = createClient({ url: `redis://127.0.0.1:${port}`, ...options });
  client.on("error", () => {}); // without a listener a lost connection ends the program
  return client.connect();
}

const client = await connect(Number(process.argv[2]));

run({
  checks(port, key) {
    return {
      defaults: async () => expect(await client.incr(key + ":a"), 1),
      protocol: async () => {
        const told = await client.sendCommand(["HELLO"]);
        return "RESP" + (Array.isArray(told) ? told[told.indexOf("proto") + 1] : told.proto);
      },
      RESP2: async () => expect(await (await connect(port, { RESP: 2 })).set(key + ":b", "2", { EX: 60 }), "OK"),
      RESP3: async () => expect(await (await connect(port, { RESP: 3 })).set(key + ":b", "3", { EX: 60 }), "OK"),
      pipeline: async () => {
        const replies = await Promise.all(Array.from({ length: 100 }, () => client.incr(key + ":p")));
        replies.forEach((value, i) => expect(value, i + 1));
      },
      MULTI: async () => expect((await client.multi().incrBy(key + ":m", 5).decr(key + ":m").exec())[1], 4),
      WATCH: async () => {
        await client.watch(key + ":m");
        const value = Number(await client.get(key + ":m"));
        expect((await client.multi().set(key + ":m", String(value * 2)).exec())[0], "OK");
      },
      errors: async () => {
        await client.set(key + ":e", "9223372036854775807");
        const told = await client.incr(key + ":e").catch((error) => error);
        if (!(told instanceof Error)) throw new Error("no overflow was told");
        await client.decr(key + ":e");
      },
      SCAN: async () => {
        let count = 0;
        for await (const keys of client.scanIterator({ MATCH: key + ":*", COUNT: 10 })) count += keys.length;
        if (count < 4) throw new Error(`${count} keys`);
      },
    };
  },
  async counting(port, once) {
    const counting = once ? await connect(port, { disableOfflineQueue: true }) : client;
    return (key) => counting.incr(key);
  },
});
