return redis.call("incr")
return redis.call("foo")
return redis.call()
return redis.call({})
return redis.pcall({})
return redis.call("set", "a", true)
return redis.call("eval", "return 1", 0)
return tostring(0/0)
return tostring(-(0/0))
return cjson.encode("a/b\127\1\200")
return cjson.encode({})
return cjson.encode({1,2,[4]=3})
return cjson.encode({1,2,[40]=3})
return cjson.encode({a=1.5})
return cjson.encode({[1.5]=1.5})
return cjson.encode({[true]=1.5})
return cjson.encode(1/0)
return cjson.encode(nil)
return cjson.encode(print)
return cjson.encode(1e15)
return tostring(cjson.decode("[1,null]")[2])
return tostring(cjson.null == nil) .. type(cjson.null)
return cjson.decode("[1,")
return cjson.decode("nulll")
return cjson.decode(nil)
x = = 2
return redis.status_reply("FINE")
return redis.error_reply("FINE")
return redis.error_reply("-FINE x")
return redis.error_reply("")
return redis.error_reply(1)
return redis.error_reply()
return {err="a b"}
return {ok="a b"}
return {ok="a\r\nb"}
return {err="a\r\nb"}
return pcall
return {1,2,3.9,nil,4}
return 3.99
return -3.99
return 1e300
return 0/0
return {double=3.5}
return {map={a=1}}
return redis.pcall("set","a")
local r = redis.pcall("set","a") return r.err
local a,b = pcall(redis.call,"set","a") return {tostring(a), b.err, tostring(b.line), tostring(b.source), tostring(b.ignore_error_stats_update)}
local a,b = pcall(error,"x") return b
local a,b = pcall(function() error("x") end) return b
local a,b = pcall(function() error({err="x"}) end) return b
return 1 +
local x <const> = 1
goto x
return "abc
error()
error(nil)
error(12)
error(true)
error({err=1})
assert(false)
assert(nil,"m")
assert(nil,{err="m"})
return ("x").foo
return ("x"):foo()
local t = {} return t.x.y
local t = {} return t:x()
local t = {} return t.x.y.z
local t = {} return t + 1
return 1 < "2"
return {} < {}
return nil < 1
return "a" .. {}
local t = {x={}} return t.x .. "a"
return "a" + 1
return #nil
local function f(a) return a.b end return f(1)
local u; local function f() return u.b end return f()
local t = {} t[nil] = 1
local t = {} t[0/0] = 1
return string.rep()
return string.rep("x", {})
return ("x"):rep({})
return tonumber({})
return tonumber()
return math.floor("a")
return string.format("%d", "x")
return string.format("%d", 3.7)
return string.format("%y", 3.7)
return select(0)
return tostring()
for i = 1, "x" do end
for i = "a", 2 do end
for k in 5 do end
return table.concat({1,{},3})
return unpack({1,2,3}, 1, 1e8)
return table.sort({3,"a",2})
return table.insert({},1,2,3)
return table.insert({})
return math.huge
return string.format("%5.1f|%s|%q", 3.14159, true, "a\nb\"\0")
return tostring(nil)
return ipairs(nil)
return redis.sha1hex("")
return redis.sha1hex()
return redis.log(1,"x")
return redis.log(redis.LOG_NOTICE,"x")
return redis.setresp(3)
return redis.setresp(4)
return redis.replicate_commands()
return redis.REDIS_VERSION
return tostring(2^53)
return tostring(-0)
return tostring(0x10)
return tonumber("0x")
return 1 == true
return tostring(1e15) .. tostring(1e14) .. tostring(123456789012345678)
return table.getn({1,2})
return tostring(string.gfind)
return 3 % -2
return -3 % 2
return 5 % 0
return math.mod(5,3)
local a,b = pcall(redis.call,"set","a") return {tostring(a), type(b), tostring(b)}
local a,b = pcall(redis.call,"incrby","a", "x") return {tostring(a), type(b), tostring(b)}
local a,b = pcall(function() return redis.call("incrby","a", "x") end) return {tostring(a), type(b), tostring(b)}
local r = redis.pcall("incrby","a", "x") local t={} for k,v in pairs(r) do t[#t+1]=k.."="..tostring(v) end table.sort(t) return t
redis.call("incrby","a", "x")
local r = redis.pcall("incrby","a", "x") error(r)
local r = redis.pcall("incrby","a", "x") error(r.err)
local r = redis.error_reply("ABC d") local t={} for k,v in pairs(r) do t[#t+1]=k.."="..tostring(v) end table.sort(t) return t
local r = redis.error_reply("-ABC") local t={} for k,v in pairs(r) do t[#t+1]=k.."="..tostring(v) end table.sort(t) return t
return redis.call("ping")
return redis.call("ping").ok
return tonumber("0x1p4")
return tostring(tonumber("inf"))
return tostring(tonumber("nan"))
return tostring(tonumber("5\0x"))
return tostring(tonumber("  5  "))
return tostring(tonumber(""))
return tostring(tonumber("1e"))
return tostring(tonumber("ff", 16))
return tostring(tonumber("fg", 16))
return tostring(tonumber("-ff", 16))
return tostring(tonumber("99999999999999999999", 10))
return tostring(tonumber(" 11 ", 2))
return tostring(tonumber("z", 37))
return tostring(tonumber("1e400"))
return string.format("%5d|%-5d|%05d|%+d|%x|%X|%o|%c|%e|%g|%10.3s|%%|%i|%u", 3, 3, 3, 3, 255, 255, 8, 65, 1.5, 1e20, "abcdef", -3, -1)
return string.format("%q", "a\nb\0c\"\\\r")
return string.format("%s", {}) == nil
return string.format("%d", 2^63)
return string.format("%d", -2^63)
return string.format("%x", -1)
return string.format("%s")
return string.format("%123d", 1)
return string.format("%.123d", 1)
return string.format("%", 1)
return string.format("%s", "a\0b")
return string.format("%5s", "a\0b")
return {string.find("hello world", "o w")}
return {string.find("hello", "l+", 2)}
return {string.find("hello", "(l)(l)()")}
return {string.find("a.b", ".", 1, true)}
return {string.find("abc", "", 10)}
return {string.find("abc", "", 4)}
return {string.gsub("hello", "l", "%0%0")}
return {string.gsub("hello", "", "-")}
return {string.gsub("hello", "(l)", "%2")}
return {string.gsub("hello", "l", {l="L"})}
return {string.gsub("hello", "l", function(x) return false end)}
return {string.gsub("hello", "l", 5)}
return {string.gsub("hello", "l", true)}
return {string.gsub("hello", "[a-", "x")}
return {string.gsub("hello", "%", "x")}
return {string.gsub("hello", "(l", "x")}
return {string.gsub("hello", "l)", "x")}
return {string.match("key=val", "(%w+)=(%w+)")}
return {string.match("[[x]]", "%b[]")}
return {string.match("THE (quick) fox", "%f[%a]%a+", 5)}
return {string.match("hello", "()ll()")}
local t={} for k in string.gmatch("a,b,c", "[^,]+") do t[#t+1]=k end return t
return {string.byte("abc", 1, -1)}
return string.char(256)
return string.char(65, 66)
return {("x"):rep(3), ("abc"):upper(), ("ABC"):lower(), ("abc"):reverse(), ("abc"):len(), ("abc"):sub(2), ("abc"):sub(-2,-1), ("abc"):sub(0), ("abc"):sub(5)}
return {math.floor(-1.5), math.ceil(-1.5), math.abs(-1), math.fmod(-5,3), math.max(1,3,2), math.min(4,2), math.sqrt(16)}
return {tostring(math.modf(3.7)), tostring(select(2, math.modf(-3.7))), tostring(math.pi), tostring(math.pow(2,0.5)), tostring(math.exp(1)), tostring(math.log(10)), tostring(math.log10(1000))}
return {tostring(math.frexp(8)), tostring(math.ldexp(1,4))}
return math.max()
return table.concat({1,2,3}, ",", 2, 3)
return table.concat({1,2.5,"x"}, "-")
local t={1,2,3} table.insert(t,2,9) return t
local t={1,2,3} return {table.remove(t,1), table.remove(t), #t}
return {table.remove({})}
return table.maxn({1,2,[10.5]=1})*10
local t={3,1,2} table.sort(t) return t
local t={3,1,2} table.sort(t, function(a,b) return a>b end) return t
local t={} table.foreach({1,2}, function(k,v) t[#t+1]=k+v end) return t
local t={} table.foreachi({1,2}, function(k,v) t[#t+1]=k+v end) return t
return table.setn
return {unpack({1,2,3}, 2)}
return {unpack({1,2,3}, 2, 3)}
return {select("#", nil, nil), select(2, 1, 2, 3)}
return {select(-1, 1, 2, 3)}
return {next({})}
return {next({5})}
return {type(next), type(nil), type({}), type("x"), type(2), type(true)}
return rawget({5}, 1)
return tostring(rawequal("a","a"))
return xpcall(function() error("x") end, function(e) return e .. "y" end)
return {xpcall(function() error("x") end, function(e) return e .. "y" end)}
return _VERSION
return arg
local function f(...) return arg.n end return f(1,2)
local function f(...) return select("#", ...) end return f(1,nil)
return 2^0.5 == math.sqrt(2)
return "10" + 5
return "0x10" * 2
return 10 .. 20
return -"2"
return "abc" < "abd"
return "a" == 1
return "1" == 1
return {1 and 2, nil or 3, false and 1, not nil}
for i=3,1 do end for i=3,1,-1 do end for i=1,2,0.5 do end return 1
for i=1,3,0 do return i end
return #"abc"
local s = "x" s.y = 1
redis.call("set","k",1.5) return redis.call("get","k")
redis.call("set","k",3) return redis.call("get","k")
redis.call("set","k",1e20) return redis.call("get","k")
redis.call("set","k",2^53) return redis.call("get","k")
return redis.call("get","nokey") == false
redis.setresp(3) return redis.call("hgetall","nokey")
redis.setresp(3) return redis.call("get","nokey") == nil
return {false}
return {true}
return true
return false
return {1,{2,{3}}, "x"}
return {err="x", ok="y"}
return {ok=1}
return {big_number="123"}
return {verbatim_string={format="txt", string="abc"}}
return cjson.encode({{1},{a={}}})
return cjson.decode('{"a":[1,2,{"b":null}],"c":"\\u00e9\\n"}').c
return cjson.encode(cjson.decode('{"a":1.5,"b":[],"c":"x"}').b)
return cjson.encode({[1]=1,[2]=2,x=3}.x)
return cjson.encode({[1]=1,x=3})
return cjson.encode("\"\\\b\f\n\r\t/")
return tostring(cjson.decode("1e5")) .. tostring(cjson.decode("-0.5"))
return cjson.decode("01")
return cjson.decode("[1 2]")
return cjson.decode("{\"a\" 1}")
return cjson.decode("{a:1}")
return cjson.decode("\"abc")
return cjson.decode("\"\\x\"")
return cjson.decode("tru")
return tostring(cjson.decode("0x10"))
return tostring(cjson.decode("nan"))
return tostring(cjson.decode("inf"))
return cjson.decode("")
return cjson.decode("[1]x")
return cjson.decode("\"\\ud83d\\ude00\"")
return cjson.decode("\"\\ud83d\"")
return cjson.encode(0.1)
return cjson.encode(12345678901234567890)
return cjson.encode({1,nil,3})
return cjson.encode(false)
return cjson.decode(5)
local t = {} t.t = t return t
local r = redis.pcall("foo","a", "x") local t={} for k,v in pairs(r) do t[#t+1]=k.."="..tostring(v) end table.sort(t) return t
local r = redis.pcall("set") local t={} for k,v in pairs(r) do t[#t+1]=k.."="..tostring(v) end table.sort(t) return t
local r = redis.pcall("eval", "x", 0) local t={} for k,v in pairs(r) do t[#t+1]=k.."="..tostring(v) end table.sort(t) return t
local r = redis.pcall("get") return r
return tostring(math.fmod(-4, 2))
return tostring(-4 % 2)
return tostring(math.ceil(-0.5))
return tostring(math.floor(-0.0))
local x = 0 return tostring(-x)
local x = 0 return tostring(x * -1)
local x = 0 return tostring(-(x ^ 2))
return tostring(math.modf(-0.5))
return tostring(math.min(0, -0))
return tostring(math.max(-0, 0))
return tostring(math.max(0, -0))
return tostring(0 % -3)
local x = -0 return tostring(x % 3)
return tostring(tonumber("-0"))
return tostring(math.abs(-0))
return tostring(math.sqrt(-0))
local x, y = -7, 0 return tostring(y % x)
return tostring(1 / -0)
local x=0 return tostring(-1 / x)
local x=-3 return tostring(x % 1.5)
local x=6 return tostring(x % -2)
local a = 1 do local a = 2 end return a
local a, b = 1 return {a, tostring(b)}
local a, b, c = (function() return 1, 2 end)() return {a, b, tostring(c)}
local t = {(function() return 1, 2 end)(), (function() return 1, 2 end)()} return t
local t = {((function() return 1, 2 end)())} return t
local function f() return end return select('#', f())
local function f(...) local a, b = ... return {a, b, select('#', ...)} end return f(1, 2, 3)
local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return f(30)
local f = function(a) return a end f = nil return pcall(f)
local a = {} a.b = {} a.b.c = function(self, x) return self == a.b, x end return {a.b:c(5)}
local t = {} function t.f(x) return x end function t:g(x) return self.v + x end t.v = 3 return {t.f(1), t:g(2)}
local x = 5 local f = function() x = x + 1 end f() f() return x
local a, b = 1, 2 a, b = b, a return {a, b}
local t = {1, 2} local i = 1 i, t[i] = i + 1, 20 return {i, t[1], t[2]}
local s = 0 for i = 10, 1, -3 do s = s + i end return s
local s = '' for i = 0, 1, 0.25 do s = s .. i .. ' ' end return s
for i = 1, 3 do local j = i i = 10 if j == 2 then return {i, j} end end
local i = 0 repeat local done = i == 3 i = i + 1 until done return i
local i = 0 while true do i = i + 1 if i > 5 then break end end return i
local t = {} for i, v in ipairs({1, 2, nil, 4}) do t[#t + 1] = v end return t
local t = {a = 1, b = 2} t.a = nil local n = 0 for k in pairs(t) do n = n + 1 end return n
local t = {1, 2, 3} for k in pairs(t) do t[k] = nil end return {#t, tostring(next(t))}
local t = {} for i = 1, 5 do t[i] = i end for i = 5, 1, -1 do t[i] = nil end return #t
local t = {} t[3] = 3 t[2] = 2 t[1] = 1 return {#t, t[1], t[2], t[3]}
local t = {[1] = 'a', [2] = 'b', 'c'} return {t[1], t[2], #t}
local t = {n = 1, 'x', [true] = 2, [2.5] = 3} return {t.n, t[1], t[true], t[2.5]}
local t = {} t['1'] = 's' t[1] = 'n' return {t['1'], t[1]}
local t = {} t[1.0] = 'a' return t[1]
local t = {} t[true] = 'b' t[1] = 'n' return {t[true], t[1]}
return 1 == 1.0
return {1 < 2, 2 <= 2, 3 > 4, 'a' < 'b', 'B' < 'a', '10' < '9', 10 < 9}
return {not nil, not 0, not '', not false}
return 0 and 'zero is true'
return nil and 1 or 2
local a = false or nil return tostring(a)
local a = nil and nil or false return tostring(a)
return 2 + 3 * 4 ^ 2 / 2 - 1
return -2 ^ 2
return 2 ^ 3 ^ 2
return not 1 == 2
return 'a' .. 'b' == 'ab'
return 1 .. ''
return #'abc' + 1
return 7 % 3 * 2
return (2 + 3) * 4
return tostring(10 / 4) .. tostring(10 / 5) .. tostring(1 / 3)
return tostring(1e100) .. tostring(2^63) .. tostring(-1e-5) .. tostring(123456.789)
return [[a
return [==[x]]y]==]
return "a\\b\"c\'d\065\10"
return 'it''s'
--[[ a comment ]] return 1 -- and one more
return 0x10 + 1e2 + .5 + 3.
return 3..2
local goto = 1
local and = 1
return ...
local function f() return ... end
break
for i = 1, 2 do break end return 1
do return 1 end return 2
return 1; return 2
if nil then return 1 elseif false then return 2 else return 3 end
local a <close> = 1
return a.b.c
f()
local f = 5 f()
local t = {} t.x.y()
local t = {} t:x()
("x")()
return {} .. 'x'
return 'x' < 1
return {} == {}
local t = {} return t == t
return #5
return -{}
return nil + 1
local function f(a, b) return a + b end return f(1)
local function f(a) a.b.c = 1 end f({})
return math.floor(3.7) .. math.floor(-3.7) .. math.ceil(3.2) .. math.max(1, 2.5) .. math.abs(-3)
return table.concat({'a', 'b', 'c'}, ', ', 2)
return {table.remove({1, 2, 3}), table.remove({1, 2, 3}, 1)}
local t = {5, 2, 8} table.sort(t, function(a, b) return a > b end) return t
local t = {'b', 'a', 'c'} table.sort(t) return t
local t = {} for w in ('one two  three'):gmatch('%S+') do t[#t + 1] = w end return t
return {('a,b,,c'):gsub(',', ';')}
return {('hello world'):gsub('o', '0', 1)}
return {('abc'):gsub('%w', '%0%0')}
return {('abc'):gsub('', '-')}
return {('hello'):find('l')}
return {('hello'):find('xyz')}
return {('  trim  '):match('^%s*(.-)%s*$')}
return {('2024-01-02'):match('(%d+)-(%d+)-(%d+)')}
return {('k = v'):match('^(%w+)%s*=%s*(%w+)$')}
return {('f(a(b)c)d'):match('%((.-)%)'), ('f(a(b)c)d'):match('%b()')}
return {('x'):rep(0), ('x'):rep(-1), ('ab'):rep(3)}
return {('abc'):sub(-2), ('abc'):sub(2, 2), ('abc'):sub(10), ('abc'):sub(-10, 2)}
return {('a'):byte(), ('abc'):byte(2), ('abc'):byte(10)}
return string.format('%s %s %s', 1, 'a', 2.5)
return string.format('%5.2f|%-8s|%08d|%x', 3.14159, 'ab', 42, 255)
return string.format('%q', 'a "quoted" \\ text')
return {pcall(error, {err = 'X'})}
return {pcall(error)}
return {pcall(function() return 1, 2 end)}
return {pcall(function() local x = nil; return x.y end)}
local ok, err = pcall(function() error({code = 5}) end) return {tostring(ok), err.code}
local ok, err = pcall(function() error('m', 0) end) return err
local ok, err = pcall(function() redis.call('set', 'a') end) return err
local ok, err = pcall(redis.call, 'nonsense') return err
redis.call('set', 'k', 'x') return redis.pcall('incr', 'k')
redis.call('set', 'k', 'x') return redis.call('incr', 'k')
redis.call('set', 'k', 'x') local e = redis.pcall('incr', 'k') return e.err
return {redis.call('set', 'k', '1'), redis.call('get', 'k'), redis.call('incr', 'k'), redis.call('get', 'none')}
return redis.call('set', 'k', '1').ok
return redis.call('mget', 'a', 'b')
redis.call('hset', 'h', 'a', 1, 'b', 2) redis.setresp(3) return redis.call('hgetall', 'h').map.a
redis.call('sadd', 's', 'a') redis.setresp(3) return redis.call('smembers', 's').set.a
redis.call('zadd', 'z', 1.5, 'm') redis.setresp(3) return redis.call('zscore', 'z', 'm').double * 2
redis.setresp(3) return {tostring(redis.call('get', 'none'))}
redis.setresp(3) return true
redis.setresp(3) return {true, false}
redis.setresp(5)
return #KEYS .. KEYS[1] .. #ARGV .. ARGV[1]
KEYS[2] = 'x' return #KEYS
ARGV = 1
return tostring(KEYS == ARGV)
local function f(...) return #arg .. arg.n end return f(1, 2)
return type(redis) .. type(string) .. type(KEYS) .. type(redis.call)
string.x = 1
local s = string s.x = 1
return rawget(redis, 'nothing')
return tostring(redis.nothing)
return {redis.LOG_WARNING, redis.REDIS_VERSION_NUM, redis.REPL_ALL}
redis.log(9, 'x')
redis.log()
redis.log('x', 'y')
return cjson.encode({a = {1, 2, {b = cjson.null}}})
return cjson.decode('{"a":{"b":[1,2,3]}}').a.b[3]
return {cjson.decode('[1,2,"x",true]')[3], cjson.decode('"\\u20ac"')}
return cjson.encode({1, 2, nil, 4})
return cjson.encode({[1] = 'a', [3] = 'c'})
return cjson.encode({[5] = 'a'})
return cjson.encode('\\u20ac')
return tostring(cjson.null) == tostring(nil)
return xpcall(function() return 1 end, function() return 2 end)
return {xpcall(function() error('a') end, function(e) return 'handled ' .. e end)}
return next({}, nil)
return {next({10})}
return select('#')
return {select(2, 'a', 'b', 'c')}
return tostring(select(-1, 'a', 'b'))
return unpack({1, 2, 3})
return {unpack({1, 2, 3}, -1, 1)}
return #{unpack({1, nil, 3})}
return tonumber('  0x1f  ')
return tostring(tonumber('1 2'))
return tostring(tonumber('1_000'))
return tonumber('1e1')
return tostring(tonumber({}))
return tonumber('7', 8)
return tostring(tonumber('8', 8))
return tonumber('zz', 36)
return assert(1, 'no')
return {assert(1, 2, 3)}
assert(false, 'gone')
assert(nil)
return math.huge > 1e308
return tostring(-math.huge)
return math.fmod(7, 3)
return {math.modf(3.5)}
return math.sqrt(2) * math.sqrt(2) == 2
return math.log(math.exp(1))
return math.pow(2, 10)
return table.getn({1, 2, 3})
return #table.concat({})
local t = {1, 2, 3} table.insert(t, 1, 0) table.insert(t, 9) return t
local t = {} table.insert(t, 5, 'x') return #t
