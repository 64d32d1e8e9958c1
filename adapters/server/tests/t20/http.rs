//! Requests as those write them who attack: byte by byte.

use base64::{Engine, engine::general_purpose::URL_SAFE};
use phoenix_core::{
    port::Outgoing,
    wire::{Call, Wire},
};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::site::DOMAIN;

/// The request that makes a call, its token in a header (02).
pub(crate) fn request(outgoing: &Outgoing) -> Vec<u8> {
    let Outgoing { call, .. } = outgoing;
    request_with(outgoing, &Call { token: None, ..call.clone() }.encode())
}

/// The same, with another body.
pub(crate) fn request_with(Outgoing { service, name, call, .. }: &Outgoing, body: &[u8]) -> Vec<u8> {
    let mut head = head(&format!("{}/{name}", service.as_str()));
    if let Some(token) = &call.token {
        head += &format!("authorization: PrivateToken token=\"{}\"\r\n", URL_SAFE.encode(token.encode()));
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The head of a call, as far as the length of its body.
pub(crate) fn head(path: &str) -> String {
    format!("POST /v1/{path} HTTP/1.1\r\nhost: {DOMAIN}\r\ncontent-type: {MEDIA_TYPE}\r\n")
}

/// Reads an answer to its end, and says its status; none where the server has closed.
pub(crate) async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> Option<u16> {
    let mut read = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some((status, length)) = parsed(&read)
            && read.len() >= length
        {
            return Some(status);
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&piece[..count]),
        }
    }
}

/// The status of an answer and the length of all of it, once its head is there.
fn parsed(read: &[u8]) -> Option<(u16, usize)> {
    let end = read.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&read[..end]).unwrap().to_ascii_lowercase();
    let status = head.get(9..12)?.parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Some((status, end + length.map_or(0, |length| length.parse::<usize>().unwrap())))
}

const MEDIA_TYPE: &str = "application/vnd.phoenix.v1";
