mod client;
mod dashboard;
mod gate;
mod resources;
mod server;
mod tokens;
