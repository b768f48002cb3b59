import java.util.*;
import redis.clients.jedis.*;
import redis.clients.jedis.params.*;

public class JedisProgram extends Program {
    private final RedisClient client;
    private final RedisClient patient;  // its time-out of 2 s is no matter of these checks, and a busy machine needs longer

    JedisProgram(String[] words) {
        super(words);
        client = RedisClient.create("127.0.0.1", port);  // repeats nothing by itself
        patient = RedisClient.builder().hostAndPort("127.0.0.1", port)
            .clientConfig(DefaultJedisClientConfig.builder().socketTimeoutMillis(60_000).build()).build();
    }

    @Override
    void checks() {
        check("defaults", () -> { expect(client.incr(key + ":a"), 1); return null; });
        check("protocol", () -> client.sendCommand(Protocol.Command.HELLO) instanceof List<?> reply ? "RESP" + proto(reply) : "?");
        for (RedisProtocol protocol : List.of(RedisProtocol.RESP2, RedisProtocol.RESP3)) {
            check(protocol.name(), () -> {
                try (RedisClient other = RedisClient.builder().hostAndPort("127.0.0.1", port)
                        .clientConfig(DefaultJedisClientConfig.builder().protocol(protocol).build()).build()) {
                    expect(other.set(key + ":b", "2", SetParams.setParams().ex(60)), "OK");
                }
                return null;
            });
        }
        check("pipeline", () -> {
            List<Response<Long>> replies = new ArrayList<>();
            try (AbstractPipeline pipeline = patient.pipelined()) {
                for (int i = 0; i < 100; i++) replies.add(pipeline.incr(key + ":p"));
                pipeline.sync();
            }
            for (int i = 0; i < 100; i++) expect(replies.get(i).get(), i + 1);
            return null;
        });
        check("MULTI", () -> {
            try (AbstractTransaction transaction = patient.multi()) {
                transaction.incrBy(key + ":m", 5);
                Response<Long> told = transaction.decr(key + ":m");
                transaction.exec();
                expect(told.get(), 4);
            }
            return null;
        });
        check("WATCH", () -> {
            try (AbstractTransaction transaction = patient.transaction(false)) {
                transaction.watch(key + ":m");
                transaction.multi();
                transaction.incr(key + ":m");
                expect(transaction.exec().get(0), 5);
            }
            return null;
        });
        check("errors", () -> {
            patient.set(key + ":e", "9223372036854775807");
            try {
                patient.incr(key + ":e");
                throw new IllegalStateException("no overflow was told");
            } catch (redis.clients.jedis.exceptions.JedisDataException expected) {
                patient.decr(key + ":e");
            }
            return null;
        });
        check("SCAN", () -> {
            int count = 0;
            String cursor = "0";
            do {
                var page = patient.scan(cursor, new ScanParams().match(key + ":*").count(10));
                count += page.getResult().size();
                cursor = page.getCursor();
            } while (!cursor.equals("0"));
            if (count < 4) throw new IllegalStateException(count + " keys");
            return null;
        });
    }

    private static String proto(List<?> reply) {
        for (int i = 0; i < reply.size(); i++) {
            Object item = reply.get(i);
            if (item instanceof redis.clients.jedis.util.KeyValue<?, ?> pair && is(pair.getKey(), "proto")) return pair.getValue().toString();
            if (is(item, "proto")) return reply.get(i + 1).toString();
        }
        return "?";
    }

    private static boolean is(Object item, String text) {
        return item instanceof byte[] bytes && new String(bytes).equals(text);
    }

    @Override
    long incr() {
        return client.incr(key);
    }

    public static void main(String[] words) throws Exception {
        new JedisProgram(words).run();
    }
}
