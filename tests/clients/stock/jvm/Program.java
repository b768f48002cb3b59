import java.util.*;
import java.util.concurrent.*;

/** What a stock client program does, for both clients of the JVM: see ../README.md. */
abstract class Program {
    interface Work { Object now() throws Exception; }

    final int port;
    final String key;
    final boolean once;
    final Map<String, String> found = new LinkedHashMap<>();

    Program(String[] words) {
        port = Integer.parseInt(words[0]);
        key = words[1];
        once = words.length > 2;
    }

    abstract void checks() throws Exception;

    /** One increment of a client that is shared by all threads. */
    abstract long incr() throws Exception;

    void check(String name, Work work) {
        try {
            Object told = work.now();
            found.put(name, told instanceof String text ? text : "ok");
        } catch (Exception error) {
            found.put(name, text(error));
        }
    }

    static void expect(Object told, Object wanted) {
        if (!String.valueOf(told).equals(String.valueOf(wanted))) throw new IllegalStateException("told " + told + " for " + wanted);
    }

    static String text(Throwable error) {
        return error.getClass().getSimpleName() + ": " + error.getMessage();
    }

    void run() throws Exception {
        checks();
        System.out.println(json(found));
        while (System.in.read() != '\n') { }
        Map<String, Integer> errors = new TreeMap<>();
        long[] told = {0, 0, System.nanoTime()};
        boolean[] running = {true};
        List<Thread> workers = new ArrayList<>();
        for (int n = 0; n < 4; n++) {
            Thread worker = new Thread(() -> count(errors, told, running));
            worker.setDaemon(true);
            worker.start();
            workers.add(worker);
        }
        while (System.in.read() >= 0) { }
        running[0] = false;
        for (Thread worker : workers) worker.join(4_000);
        synchronized (told) {
            System.out.println("{\"acknowledged\":" + told[0] + ",\"errors\":" + json(errors) + ",\"gap_ms\":" + told[1] + "}");
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private void count(Map<String, Integer> errors, long[] told, boolean[] running) {
        while (running[0]) {
            try {
                Thread.sleep(10);
                incr();
                synchronized (told) {
                    told[0]++;
                    told[1] = Math.max(told[1], (System.nanoTime() - told[2]) / 1_000_000);
                    told[2] = System.nanoTime();
                    if (told[0] == 20) System.out.println("counting");
                }
            } catch (Exception error) {
                synchronized (told) {
                    errors.merge(text(error), 1, Integer::sum);
                }
            }
        }
    }

    static String json(Map<String, ?> map) {
        StringJoiner parts = new StringJoiner(",", "{", "}");
        map.forEach((name, value) -> parts.add(quoted(name) + ":" + (value instanceof Integer ? value : quoted(String.valueOf(value)))));
        return parts.toString();
    }

    private static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", " ").replace("\r", " ").replace("\t", " ") + '"';
    }
}
