//! Reads ahead: HTTP/2 asks for a frame's head and then for its body, and most senders' frames are
//! 16 KiB; one system call brings several of them. A reader with more room than that reads directly.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read ahead. Held only while something lies there, so that idle connections take nothing.
const AHEAD: usize = 64 * 1024;

thread_local! {
    /// Room that no connection of this thread needs now: making it anew means to write zeros to all of
    /// it, a few times a request.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn take_room() -> Vec<u8> {
    let spare = SPARE.take();
    if spare.is_empty() {
        vec![0; AHEAD]
    } else {
        spare
    }
}

/// A stream that is read ahead.
#[derive(Debug)]
pub struct ReadAhead<S> {
    stream: S,
    room: Vec<u8>,
    /// What was read and not yet asked for.
    from: usize,
    to: usize,
}

impl<S> ReadAhead<S> {
    /// Reads `stream` ahead.
    pub fn new(stream: S) -> ReadAhead<S> {
        ReadAhead {
            stream,
            room: Vec::new(),
            from: 0,
            to: 0,
        }
    }

    /// Hands out what lies there.
    fn give(&mut self, out: &mut ReadBuf<'_>) {
        let to = self.to.min(self.from + out.remaining());
        if let Some(bytes) = self.room.get(self.from..to) {
            out.put_slice(bytes);
        }
        self.from = to;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.from < this.to {
            this.give(out);
            return Poll::Ready(Ok(()));
        }
        if out.remaining() >= AHEAD {
            return Pin::new(&mut this.stream).poll_read(cx, out);
        }
        if this.room.is_empty() {
            this.room = take_room();
        }
        let mut room = ReadBuf::new(&mut this.room);
        let read = Pin::new(&mut this.stream).poll_read(cx, &mut room);
        (this.from, this.to) = (0, room.filled().len());
        if read.is_pending() {
            SPARE.set(std::mem::take(&mut this.room));
        }
        ready!(read)?;
        this.give(out);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn every_byte_comes_once_and_in_order_whatever_is_asked_for() {
        let sent: Vec<u8> = (0..700_000u32).map(|n| (n % 251) as u8).collect();
        let (mut writer, reader) = tokio::io::duplex(100_000);
        let copy = sent.clone();
        let writing = tokio::spawn(async move { writer.write_all(&copy).await });
        let mut reader = ReadAhead::new(reader);
        let mut got = Vec::new();
        for size in [9, 16_384, 1, 200_000, 70_000].into_iter().cycle() {
            let mut part = vec![0; size];
            let read = reader.read(&mut part).await.unwrap();
            if read == 0 {
                break;
            }
            got.extend_from_slice(&part[..read]);
        }
        writing.await.unwrap().unwrap();
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn an_idle_connection_takes_no_memory() {
        let (mut writer, reader) = tokio::io::duplex(100);
        let mut reader = ReadAhead::new(reader);
        writer.write_all(b"abc").await.unwrap();
        let mut part = [0; 8];
        assert_eq!(reader.read(&mut part).await.unwrap(), 3);
        let waited =
            tokio::time::timeout(std::time::Duration::from_millis(1), reader.read(&mut part));
        assert!(waited.await.is_err());
        assert_eq!(reader.room.capacity(), 0);
    }
}
