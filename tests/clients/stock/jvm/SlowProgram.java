import io.lettuce.core.RedisURI;
import io.lettuce.core.api.sync.RedisStringCommands;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import redis.clients.jedis.*;

/** {@code SlowProgram jedis|lettuce slow|pool plain|cluster PORTS KEY TIMEOUT_MS [REMEDY]}: see ../README.md. */
public class SlowProgram {
    interface Counter { long incr() throws Exception; }

    static final int WORKERS = 4;
    static String where, key, remedy;
    static int timeoutMs;
    static List<Integer> ports = new ArrayList<>();

    static Counter jedis() {
        DefaultJedisClientConfig.Builder builder = DefaultJedisClientConfig.builder();
        JedisClientConfig config = (timeoutMs > 0 ? builder.socketTimeoutMillis(timeoutMs) : builder).build();
        if (where.equals("plain")) {
            UnifiedJedis client = RedisClient.builder().hostAndPort("127.0.0.1", ports.get(0)).clientConfig(config).build();
            return () -> client.incr(key);
        }
        Set<HostAndPort> nodes = new HashSet<>();
        for (int port : ports) nodes.add(new HostAndPort("127.0.0.1", port));
        var cluster = RedisClusterClient.builder().nodes(nodes).clientConfig(config);
        if (remedy.contains("maxAttempts")) cluster.maxAttempts(1);
        UnifiedJedis client = cluster.build();
        return () -> client.incr(key);
    }

    /** The time-out is set when it is connected: it would be that of the handshake as well, which takes seconds on a busy machine. */
    static Counter lettuce() {
        List<RedisURI> uris = new ArrayList<>();
        for (int port : ports) uris.add(RedisURI.create("127.0.0.1", port));
        RedisStringCommands<String, String> commands;
        if (where.equals("plain")) {
            var connection = io.lettuce.core.RedisClient.create(uris.get(0)).connect();
            if (timeoutMs > 0) connection.setTimeout(Duration.ofMillis(timeoutMs));
            commands = connection.sync();
        } else {
            var connection = io.lettuce.core.cluster.RedisClusterClient.create(uris).connect();
            if (timeoutMs > 0) connection.setTimeout(Duration.ofMillis(timeoutMs));
            commands = connection.sync();
        }
        return () -> commands.incr(key);
    }

    static String once(Counter counter) {
        try {
            counter.incr();
            return "<nil>";
        } catch (Exception error) {
            return Program.text(error).replace("\n", " ");
        }
    }

    static void slow(Counter counter) throws Exception {
        Map<String, Integer> told = new TreeMap<>();
        ExecutorService pool = Executors.newFixedThreadPool(WORKERS);
        List<Future<String>> answers = new ArrayList<>();
        for (int n = 0; n < WORKERS; n++) answers.add(pool.submit(() -> once(counter)));
        for (Future<String> answer : answers) told.merge(answer.get(), 1, Integer::sum);
        System.out.println(Program.json(told));
    }

    static void pool(Counter counter) throws Exception {
        for (int n = 0; n < WORKERS; n++) {
            Thread worker = new Thread(() -> counts(counter));
            worker.setDaemon(true);
            worker.start();
        }
        while (System.in.read() >= 0) { }
    }

    private static void counts(Counter counter) {
        while (true) {
            try {
                Thread.sleep(20);
            } catch (InterruptedException error) {
                return;
            }
            long start = System.currentTimeMillis();
            String text = once(counter);
            System.out.println(start + " " + (System.currentTimeMillis() - start) + " " + text);
        }
    }

    public static void main(String[] words) throws Exception {
        where = words[2];
        for (String port : words[3].split(",")) ports.add(Integer.parseInt(port));
        key = words[4];
        timeoutMs = Integer.parseInt(words[5]);
        remedy = words.length > 6 ? words[6] : "";
        Counter counter = words[0].equals("jedis") ? jedis() : lettuce();
        if (words[1].equals("slow")) slow(counter);
        else pool(counter);
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
