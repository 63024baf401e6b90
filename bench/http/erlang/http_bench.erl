%% HTTP/1.1 with one process a connection: the service of ../rust and of examples/http_server.
%%
%%   erl -noshell -pa DIR -s http_bench
%%
%% gen_tcp without a framework, the emulator's settings are its defaults.
-module(http_bench).
-export([start/0]).

start() ->
    Options = [binary, {active, false}, {ip, {127, 0, 0, 1}}, {backlog, 1024}, {nodelay, true}],
    {ok, Listener} = gen_tcp:listen(0, Options),
    {ok, Port} = inet:port(Listener),
    io:format("listening on 127.0.0.1:~b~n", [Port]),
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Pid = spawn(fun() -> receive go -> serve(Socket, <<>>) end end),
    ok = gen_tcp:controlling_process(Socket, Pid),
    Pid ! go,
    accept(Listener).

serve(Socket, Before) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, More} -> answer(Socket, <<Before/binary, More/binary>>);
        {error, _} -> gen_tcp:close(Socket)
    end.

answer(Socket, Request) when byte_size(Request) > 4096 -> gen_tcp:close(Socket);
answer(Socket, Request) ->
    case binary:longest_common_suffix([Request, <<"\r\n\r\n">>]) of
        4 ->
            ok = gen_tcp:send(Socket, <<"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                        "Content-Length: 20\r\n\r\nHello from an actor\n">>),
            serve(Socket, <<>>);
        _ -> serve(Socket, Request)
    end.
