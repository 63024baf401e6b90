%% The benchmark guests' work in Erlang, with the same lines of output (see ../guests/bench.h).
%%
%%   erl -noshell -pa DIR -run bench_actors main serial 10000
%%
%% The emulator's settings are its defaults: SMP, one scheduler a core, JIT where it was built with one.
-module(bench_actors).
-export([main/1]).

main(Words) ->
    {Mode, Numbers} = {hd(Words), [list_to_integer(Word) || Word <- tl(Words)]},
    %% A process of its own: the one that -run uses was started by init and has other settings.
    {Pid, Reference} = spawn_monitor(fun() -> run(Mode, Numbers) end),
    receive
        {'DOWN', Reference, process, Pid, normal} -> halt(0);
        {'DOWN', Reference, process, Pid, Reason} ->
            io:format("FAILED ~p~n", [Reason]),
            halt(1)
    end.

run("serial", [Count]) ->
    serial(Count div 10 + 1),
    result("spawn_serial", Count, fun() -> serial(Count) end);
run("inflight", [Count, Width]) ->
    Rounds = (Count + Width - 1) div Width,
    inflight(1, Width),
    result("spawn_inflight", Rounds * Width, fun() -> inflight(Rounds, Width) end);
run("kill", [Count]) ->
    process_flag(trap_exit, true),
    kill(Count div 10 + 1),
    result("spawn_kill", Count, fun() -> kill(Count) end);
run("trap", [Count]) ->
    %% exit/1, not error/1: a failure without the report that the logger would format.
    process_flag(trap_exit, true),
    fail(Count div 10 + 1),
    result("spawn_trap", Count, fun() -> fail(Count) end);
run("numbers", [Count]) ->
    Self = self(),
    Echo = spawn(fun() -> echo(Self) end),
    numbers(Echo, Count div 10 + 1),
    result("ping_pong", Count, fun() -> numbers(Echo, Count) end);
run("bytes", [Count, Bytes]) ->
    Self = self(),
    Echo = spawn(fun() -> echo_bytes(Self, Bytes) end),
    bytes(Echo, Count div 10 + 1, Bytes),
    result("message", Count, fun() -> bytes(Echo, Count, Bytes) end);
run("shared", [Count, Bytes]) ->
    Self = self(),
    Echo = spawn(fun() -> echo_shared(Self) end),
    Binary = fresh(Count, Bytes),
    shared(Echo, Count div 10 + 1, Binary),
    result("message_shared", Count, fun() -> shared(Echo, Count, Binary) end);
run("mass", [Count, PauseMs]) ->
    mass(Count, PauseMs);
run("fairness", [Loops, Rounds]) ->
    fairness(Loops, Rounds).

result(Name, Count, Work) ->
    Begin = erlang:monotonic_time(nanosecond),
    Work(),
    line(Name, (erlang:monotonic_time(nanosecond) - Begin) / Count, Count).

line(Name, Nanoseconds, Count) ->
    io:format("RESULT ~s ~.1f ~b~n", [Name, float(Nanoseconds), Count]).

%% Spawn, one message, end.
serial(0) -> ok;
serial(Count) ->
    Self = self(),
    spawn(fun() -> Self ! 1 end),
    receive 1 -> ok end,
    serial(Count - 1).

inflight(0, _Width) -> ok;
inflight(Rounds, Width) ->
    Self = self(),
    spawn_replies(Self, Width),
    receive_replies(Width),
    inflight(Rounds - 1, Width).

spawn_replies(_Self, 0) -> ok;
spawn_replies(Self, Count) ->
    spawn(fun() -> Self ! 1 end),
    spawn_replies(Self, Count - 1).

receive_replies(0) -> ok;
receive_replies(Count) ->
    receive 1 -> receive_replies(Count - 1) end.

kill(0) -> ok;
kill(Count) ->
    Self = self(),
    Pid = spawn_link(fun() -> Self ! 1, receive never -> ok end end),
    receive 1 -> ok end,
    exit(Pid, kill),
    receive {'EXIT', Pid, killed} -> ok end,
    kill(Count - 1).

fail(0) -> ok;
fail(Count) ->
    Pid = spawn_link(fun() -> exit(failed) end),
    receive {'EXIT', Pid, failed} -> ok end,
    fail(Count - 1).

%% Numbers back and forth.
echo(Parent) ->
    receive Number -> Parent ! Number + 1 end,
    echo(Parent).

numbers(_Echo, 0) -> ok;
numbers(Echo, Count) ->
    Echo ! Count,
    receive _ -> ok end,
    numbers(Echo, Count - 1).

%% Bytes, written anew by the sender and all read by the receiver, through the fastest built-in functions
%% that do either. Above 64 bytes a binary is shared by reference, so that no send copies it.
fresh(Seed, Bytes) when Bytes > 4096, Bytes rem 1024 =:= 0 ->
    binary:copy(fresh(Seed, 1024), Bytes div 1024);
fresh(Seed, Bytes) ->
    binary:copy(<<Seed:64/native>>, Bytes div 8).

echo_bytes(Parent, Bytes) ->
    receive Binary -> Parent ! fresh(erlang:adler32(Binary), Bytes) end,
    echo_bytes(Parent, Bytes).

bytes(_Echo, 0, _Bytes) -> ok;
bytes(Echo, Count, Bytes) ->
    Echo ! fresh(Count, Bytes),
    receive Binary -> erlang:adler32(Binary) end,
    bytes(Echo, Count - 1, Bytes).

%% One binary, never touched: the price of passing a reference.
echo_shared(Parent) ->
    receive Binary -> Parent ! Binary end,
    echo_shared(Parent).

shared(_Echo, 0, _Binary) -> ok;
shared(Echo, Count, Binary) ->
    Echo ! Binary,
    receive _ -> ok end,
    shared(Echo, Count - 1, Binary).

%% COUNT processes blocked in receive, then woken.
mass(Count, PauseMs) ->
    Self = self(),
    io:format("READY mass_base 0~n"),
    timer:sleep(PauseMs),
    Begin = erlang:monotonic_time(nanosecond),
    Pids = [spawn_waiting(Self) || _ <- lists:seq(1, Count)],
    line("mass_spawn", (erlang:monotonic_time(nanosecond) - Begin) / Count, Count),
    io:format("READY mass ~b~n", [Count]),
    timer:sleep(PauseMs),
    result("mass_wake", Count, fun() -> wake(Pids), await_ends(Pids) end).

spawn_waiting(Self) ->
    Pid = spawn(fun() -> Self ! 1, receive Number -> Self ! {done, Number} end end),
    receive 1 -> ok end,
    Pid.

wake(Pids) ->
    lists:foreach(fun(Pid) -> Pid ! 2 end, Pids),
    lists:foreach(fun(_) -> receive {done, 2} -> ok end end, Pids).

await_ends(Pids) ->
    lists:foreach(fun await_end/1, Pids).

await_end(Pid) ->
    case is_process_alive(Pid) of
        true -> timer:sleep(1), await_end(Pid);
        false -> ok
    end.

%% LOOPS processes that never stop computing beside two that exchange messages.
fairness(Loops, Rounds) ->
    Self = self(),
    Echo = spawn(fun() -> echo_times(Self) end),
    Meter = spawn(fun() -> receive go -> meter(Self, 101) end end),
    [spawn(fun() -> loop(Index) end) || Index <- lists:seq(2, Loops)],
    Meter ! go,
    Slice = receive {slice, Length} -> Length end,
    Hops = lists:sort(hops(Echo, Rounds, [])),
    Count = length(Hops),
    line("fairness_slice", Slice, 1),
    line("fairness_p50", lists:nth(Count div 2 + 1, Hops), 1),
    line("fairness_p99", lists:nth(Count * 99 div 100 + 1, Hops), 1),
    line("fairness_max", lists:last(Hops), 1),
    line("fairness_hops", Count, 1).

echo_times(Parent) ->
    receive Sent ->
        Hop = now_ns() - Sent,
        Parent ! {Hop, now_ns()}
    end,
    echo_times(Parent).

hops(_Echo, 0, Hops) -> Hops;
hops(Echo, Rounds, Hops) ->
    Echo ! now_ns(),
    receive {Hop, Sent} -> hops(Echo, Rounds - 1, [now_ns() - Sent, Hop | Hops]) end.

now_ns() -> erlang:monotonic_time(nanosecond).

loop(State) -> loop(step(State)).

step(State) -> (State * 1103515245 + 12345) band 16#7fffffff.

steps(State, 0) -> State;
steps(State, Count) -> steps(step(State), Count - 1).

%% As the guests' meter: a reading that comes ten times later than the usual one ends a slice.
meter(Parent, Slices) -> meter(Parent, Slices, [], 1, infinity, none, now_ns()).

meter(Parent, 0, Lengths, State, _Usual, _Begin, _Before) ->
    Parent ! {slice, lists:nth(length(Lengths) div 2 + 1, lists:sort(Lengths))},
    loop(State);
meter(Parent, Slices, Lengths, State, Usual, Begin, Before) ->
    Next = steps(State, 100),
    Now = now_ns(),
    Passed = Now - Before,
    Least = min(Passed, Usual),
    if
        Passed > 10 * Least, Begin =/= none ->
            meter(Parent, Slices - 1, [Before - Begin + Least | Lengths], Next, Least, Now, Now);
        Passed > 10 * Least -> meter(Parent, Slices, Lengths, Next, Least, Now, Now);
        true -> meter(Parent, Slices, Lengths, Next, Least, Begin, Now)
    end.
