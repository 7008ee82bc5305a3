mod client;
mod gate;
mod resources;
