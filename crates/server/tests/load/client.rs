//! A client on one connection that stays open.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Status and body.
pub(crate) type Reply = (u16, Vec<u8>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        self.receive().await
    }

    pub(crate) async fn put(&mut self, path: &str, body: &Value) -> io::Result<Reply> {
        let body = body.to_string();
        let head = put_head(path, &format!("Content-Length: {}", body.len()));
        self.send(format!("{head}{body}").as_bytes()).await?;
        self.receive().await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next answer.
    pub(crate) async fn receive(&mut self) -> io::Result<Reply> {
        loop {
            if let Some((status, head, length)) = self.head()
                && self.received.len() >= head + length
            {
                let body = self.received[head..head + length].to_vec();
                self.received.drain(..head + length);
                return Ok((status, body));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The status of an answer, where its head ends, and how long the rest is.
    fn head(&self) -> Option<(u16, usize, usize)> {
        let end = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.received[..end]).expect("a head is ASCII");
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        Some((status, end + 4, length.map_or(0, |(_, length)| length.parse().expect("a length"))))
    }
}

/// The head of a PUT whose body is as long as `length` says.
pub(crate) fn put_head(path: &str, length: &str) -> String {
    format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}\r\n\r\n")
}

pub(crate) fn record(key: &str) -> String {
    format!("/data-store/namespaces/n/records/{key}")
}
