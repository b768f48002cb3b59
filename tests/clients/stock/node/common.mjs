// What a stock client program does, for both clients of Node.js: see ../README.md.
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const [port, key, once] = process.argv.slice(2);

export async function run(client) {
  const found = {};
  for (const [name, work] of Object.entries(client.checks(Number(port), key))) {
    try {
      found[name] = (await Promise.race([work(), sleep(10_000).then(() => { throw new Error("no answer in 10 s"); })])) ?? "ok";
    } catch (error) {
      found[name] = String(error.message || error);
    }
  }
  console.log(JSON.stringify(found));
  await new Promise((resolve) => process.stdin.once("data", resolve));
  console.log(JSON.stringify(await count(await client.counting(Number(port), once))));
  process.exit(0);
}

async function count(incr) {
  const errors = {};
  let acknowledged = 0, gap = 0, last = Date.now(), running = true;
  async function worker() {
    while (running) {
      await sleep(10);
      try {
        await incr(key);
        acknowledged += 1;
        gap = Math.max(gap, Date.now() - last);
        last = Date.now();
        if (acknowledged === 20) console.log("counting");
      } catch (error) {
        const text = String(error.message || error);
        errors[text] = (errors[text] ?? 0) + 1;
      }
    }
  }
  const workers = [worker(), worker(), worker(), worker()];
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.on("end", resolve));
  running = false;
  await Promise.race([Promise.all(workers), sleep(15_000)]);
  return { acknowledged, errors, gap_ms: gap };
}

export function expect(told, wanted) {
  if (String(told) !== String(wanted)) throw new Error(`told ${told} for ${wanted}`);
}
