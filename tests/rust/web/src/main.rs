//! A server on `submillisecond` with handlers that answer, that panic and that never come back. It prints its address.
use lunatic::ap::handlers::{Message, Request};
use lunatic::ap::{AbstractProcess, Config, MessageHandler, ProcessRef, RequestHandler, State};
use lunatic::serializer::Bincode;
use serde::{Deserialize, Serialize};
use submillisecond::extract::Query;
use submillisecond::params::Params;
use submillisecond::template::Template;
use submillisecond::{router, Application, Guard, Json, RequestContext};

/// What all requests share: a process that counts them.
struct Visits(u64);

#[derive(Serialize, Deserialize)]
struct Visit;

#[derive(Serialize, Deserialize)]
struct Total;

impl AbstractProcess for Visits {
    type Arg = ();
    type State = Visits;
    type Serializer = Bincode;
    type Handlers = (Message<Visit>, Request<Total>);
    type StartupError = ();

    fn init(_: Config<Self>, _: ()) -> Result<Visits, ()> {
        Ok(Visits(0))
    }
}

impl MessageHandler<Visit> for Visits {
    fn handle(mut state: State<Self>, _: Visit) {
        state.0 += 1;
    }
}

impl RequestHandler<Total> for Visits {
    type Response = u64;

    fn handle(state: State<Self>, _: Total) -> u64 {
        state.0
    }
}

const VISITS: &str = "visits";

fn visits() -> ProcessRef<Visits> {
    ProcessRef::lookup(&VISITS).unwrap()
}

fn index() -> &'static str {
    visits().send(Visit);
    "index"
}

fn total() -> String {
    visits().request(Total).to_string()
}

fn panics() -> &'static str {
    panic!("a handler that panics");
}

fn stuck() -> &'static str {
    loop {
        std::hint::spin_loop();
    }
}

fn waits() -> &'static str {
    lunatic::sleep(std::time::Duration::from_secs(3600));
    "late"
}

fn name(params: Params) -> String {
    format!("name {}", params.get("name").unwrap_or("none"))
}

#[derive(askama::Template)]
#[template(source = "<p>Hello {{ name }}</p>", ext = "html")]
struct Greeting {
    name: String,
}

fn greeting(Query(greeting): Query<Named>) -> Template<Greeting> {
    Template(Greeting {
        name: greeting.name,
    })
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Terms {
    a: i64,
    b: i64,
}

#[derive(Serialize, Deserialize)]
struct Sum {
    sum: i64,
}

fn query(Query(terms): Query<Terms>) -> Json<Sum> {
    Json(Sum {
        sum: terms.a + terms.b,
    })
}

fn json(Json(terms): Json<Terms>) -> Json<Sum> {
    Json(Sum {
        sum: terms.a + terms.b,
    })
}

struct HasKey;

impl Guard for HasKey {
    fn check(&self, request: &RequestContext) -> bool {
        request.headers().contains_key("x-key")
    }
}

fn guarded() -> &'static str {
    "guarded"
}

fn main() {
    let visits = Visits::link().start_as(&VISITS, ()).unwrap();
    assert!(visits.is_alive());
    let address = std::env::args().nth(1).unwrap();
    Application::new(router! {
        GET "/" => index
        GET "/total" => total
        GET "/panic" => panics
        GET "/stuck" => stuck
        GET "/wait" => waits
        GET "/name/:name" => name
        GET "/greeting" => greeting
        GET "/query" => query
        POST "/json" => json
        GET "/guarded" if HasKey => guarded
    })
    .serve(address)
    .unwrap();
}
