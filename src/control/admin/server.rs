use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::router;
use crate::control::{Cookie, Handle, Observer};
use crate::limits::{
    ACCEPT_PAUSE_MAX, ADMIN_CONNECTION_AGE_MAX, ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX,
    ADMIN_HEAD_TIMEOUT, ADMIN_TIMEOUT,
};

/// Serves admin REST on `listener` until `shutdown` is done and the requests
/// begun before it are answered.
///
/// # Errors
/// None at present; failed accepts are tried again.
pub async fn serve_admin(
    listener: TcpListener,
    handle: Handle,
    observer: Observer,
    cookie: Cookie,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = router(handle, observer, cookie);
    let seats = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    let (close, closing) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (seat, stream, peer) = accept(&listener, &seats) => {
                let connection = serve(stream, peer, app.clone(), closing.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(seat);
                });
            }
        }
    }
    drop(listener);
    drop(close);
    // All seats are free once the last connection has ended.
    drop(seats.acquire_many(ADMIN_CONNECTIONS_MAX as u32).await);
    Ok(())
}

/// The next connection for which there is a seat; past the bound they wait in
/// the kernel.
async fn accept(
    listener: &TcpListener,
    seats: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
    // Never closed, so there always comes one.
    let seat = Arc::clone(seats).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (seat, stream, peer),
            // One that was gone already, or no descriptor is left.
            Err(error) => {
                tracing::debug!(%error, "admin connection not accepted");
                sleep(ACCEPT_PAUSE_MAX).await;
            }
        }
    }
}

/// Serves one connection. It may go on for as long as it makes requests, but not
/// for ever: a peer that does not take its answer must give up its seat.
async fn serve(stream: TcpStream, peer: SocketAddr, app: Router, mut closing: watch::Receiver<()>) {
    // Answers are small, and a script waits for each.
    let _ = stream.set_nodelay(true);
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        app.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ADMIN_HEAD_TIMEOUT)
        .max_buf_size(ADMIN_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // Whatever ended it, nobody is left to be told.
        _ = connection.as_mut() => return,
        () = sleep(ADMIN_CONNECTION_AGE_MAX) => {}
        // Its sender never sends: this is its end.
        _ = closing.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(ADMIN_TIMEOUT, connection).await;
}
