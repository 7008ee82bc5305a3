mod client;
mod gate;
mod resources;
mod server;
