import io.lettuce.core.*;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.*;
import io.lettuce.core.protocol.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.TimeUnit;

public class LettuceProgram extends Program {
    private final StatefulRedisConnection<String, String> connection;
    private final RedisCommands<String, String> commands;

    LettuceProgram(String[] words) {
        super(words);
        RedisClient client = RedisClient.create("redis://127.0.0.1:" + port);
        if (once) client.setOptions(ClientOptions.builder().replayFilter(command -> true).build());
        connection = client.connect();
        // A command that is not replayed is not failed either: its caller waits for the timeout, by default a minute. In the address it
        // would be that of the handshake as well, which takes longer than 2 s on a busy machine.
        if (once) connection.setTimeout(Duration.ofSeconds(2));
        commands = connection.sync();
    }

    @Override
    void checks() {
        check("defaults", () -> { expect(commands.incr(key + ":a"), 1); return null; });
        check("protocol", () -> {
            List<?> reply = commands.dispatch(CommandType.HELLO, new ArrayOutput<>(StringCodec.UTF8));
            return "RESP" + reply.get(reply.indexOf("proto") + 1);
        });
        for (ProtocolVersion protocol : List.of(ProtocolVersion.RESP2, ProtocolVersion.RESP3)) {
            check(protocol.name(), () -> {
                RedisClient other = RedisClient.create("redis://127.0.0.1:" + port);
                other.setOptions(ClientOptions.builder().protocolVersion(protocol).build());
                try (var connected = other.connect()) {
                    expect(connected.sync().set(key + ":b", "2", SetArgs.Builder.ex(60)), "OK");
                } finally {
                    other.shutdown(0, 1, TimeUnit.SECONDS);
                }
                return null;
            });
        }
        check("pipeline", () -> {
            List<RedisFuture<Long>> replies = new ArrayList<>();
            for (int i = 0; i < 100; i++) replies.add(connection.async().incr(key + ":p"));
            for (int i = 0; i < 100; i++) expect(replies.get(i).get(), i + 1);
            return null;
        });
        check("MULTI", () -> {
            commands.multi();
            commands.incrby(key + ":m", 5);
            commands.decr(key + ":m");
            expect(commands.exec().get(1), 4);
            return null;
        });
        check("WATCH", () -> {
            commands.watch(key + ":m");
            commands.multi();
            commands.incr(key + ":m");
            expect(commands.exec().get(0), 5);
            return null;
        });
        check("errors", () -> {
            commands.set(key + ":e", "9223372036854775807");
            try {
                commands.incr(key + ":e");
                throw new IllegalStateException("no overflow was told");
            } catch (RedisCommandExecutionException expected) {
                commands.decr(key + ":e");
            }
            return null;
        });
        check("SCAN", () -> {
            int count = 0;
            ScanIterator<String> keys = ScanIterator.scan(commands, ScanArgs.Builder.matches(key + ":*").limit(10));
            for (; keys.hasNext(); keys.next()) count++;
            if (count < 4) throw new IllegalStateException(count + " keys");
            return null;
        });
    }

    @Override
    long incr() {
        return commands.incr(key);
    }

    public static void main(String[] words) throws Exception {
        new LettuceProgram(words).run();
    }
}
