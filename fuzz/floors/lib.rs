//! The floors that are fuzzed, built without those above them: a minute less
//! to build than the broker with its runtimes. They import nothing but each other
//! (`tests/architecture.rs`).

#[path = "../../src/hub/mod.rs"]
pub mod hub;
#[path = "../../src/limits.rs"]
pub mod limits;
#[path = "../../src/meter/mod.rs"]
pub mod meter;
#[path = "../../src/model/mod.rs"]
pub mod model;
#[path = "../../src/wire/mod.rs"]
pub mod wire;
