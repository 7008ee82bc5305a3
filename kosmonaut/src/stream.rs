//! What carries a connection's bytes: TCP, or TLS over it.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use crate::url::Url;

pub(crate) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Secured {
        stream: Box<tokio_rustls::client::TlsStream<TcpStream>>,
        /// Records may stand in it that the socket has not taken.
        unflushed: bool,
    },
}

impl Stream {
    /// Connects to the first of the host's addresses that answers, and shakes
    /// hands where the URL says `wrs`.
    pub(crate) async fn connect(url: &Url) -> io::Result<Self> {
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
        // A request is one small packet that waits for its answer.
        stream.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if url.secure {
            let stream = url.tls()?.connect(&url.host, stream).await?;
            return Ok(Self::Secured {
                stream: Box::new(stream),
                unflushed: false,
            });
        }
        Ok(Self::Plain(stream))
    }

    /// Reads what is there.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        // The future holds nothing but the borrows: what it read is in the buffer.
        match self {
            Self::Plain(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            #[cfg(feature = "tls")]
            Self::Secured { stream, .. } => pin!(stream.read_buf(buffer)).poll(cx),
        }
    }

    /// Takes some of the bytes. Those taken may be on their way at once, so a
    /// packet taken whole may be executed.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Secured { stream, unflushed } => {
                *unflushed = true;
                Pin::new(stream.as_mut()).poll_write(cx, bytes)
            }
        }
    }

    /// Waits until all that was taken is with the kernel; tells whether there was
    /// anything to wait for.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self {
            Self::Plain(_) => {
                let _ = cx;
                Poll::Ready(Ok(false))
            }
            #[cfg(feature = "tls")]
            Self::Secured { stream, unflushed } => {
                if *unflushed {
                    std::task::ready!(Pin::new(stream.as_mut()).poll_flush(cx))?;
                    *unflushed = false;
                    return Poll::Ready(Ok(true));
                }
                Poll::Ready(Ok(false))
            }
        }
    }
}
