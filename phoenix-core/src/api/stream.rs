//! Queue streams (06, "Wake-ups"): a WebSocket by which a client's queue is read as entries come.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::{
    Description, Endpoint, SenderKind, ServiceName,
    queue::{DequeueReply, Entry},
};
use crate::{ErrorReply, QsClientId, crypto::VerifyingKey};

/// Opens a stream of a client's queue. The call is the first message of a WebSocket; what follows are
/// [`StreamMessage`]s from the server and [`StreamAck`]s from the client.
pub struct Stream;

impl Endpoint for Stream {
    const DESCRIPTION: Description = Description::new(0x020a, ServiceName::Qs, "stream")
        .local()
        .signed_by(SenderKind::QsClient)
        .body(STREAM_BODY)
        .web_socket();
    type Request = StreamRequest;
    type Reply = StreamOpened;
}

/// Where a stream begins: wherever an earlier one, be it at another replica, had come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct StreamRequest {
    /// The first number wanted.
    pub from: u64,
    /// All entries below it were read and may go; at most `from`.
    pub ack_below: u64,
}

/// A stream that was opened, as the homeserver itself knows it.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct StreamOpened {
    /// Whose queue it reads.
    pub client: QsClientId,
    /// Random; the client's record names the stream that was opened last.
    pub stream: [u8; 16],
    /// The key that opened it: a stream ends when its client changes the key.
    pub auth_key: VerifyingKey,
}

/// What the server says on a stream.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u8)]
pub enum StreamMessage {
    /// The next entries of the queue, or that some were dropped unread.
    #[tls_codec(discriminant = 1)]
    Entries(DequeueReply),
    /// A message that no queue keeps, in clear but for its content.
    #[tls_codec(discriminant = 2)]
    Ephemeral(Entry),
    /// The call or an acknowledgement is refused, or the stream has ended for good. The last message.
    #[tls_codec(discriminant = 3)]
    Refused(ErrorReply),
    /// The server ends the stream: another may be opened after so many milliseconds. The last message.
    #[tls_codec(discriminant = 4)]
    Reconnect(u32),
}

/// What the client says on a stream: all entries below a number were read and may go. A number that is not higher than
/// an earlier one changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct StreamAck {
    /// At most one more than the last number sent.
    pub ack_below: u64,
}

/// Reads what a stream carries next: the homeserver asks itself, as often as something may have come.
pub struct StreamRead;

impl Endpoint for StreamRead {
    const DESCRIPTION: Description = Description::new(0x0213, ServiceName::Qs, "stream_read").internal();
    type Request = StreamReadRequest;
    type Reply = DequeueReply;
}

/// What is read for a stream.
#[derive(Clone, Debug, PartialEq, Eq, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct StreamReadRequest {
    /// The stream, which must still be its client's.
    pub opened: StreamOpened,
    /// The first number wanted.
    pub from: u64,
    /// How many, up to 100; 0 only acknowledges.
    pub max: u16,
    /// All entries below it were read and may go; at most `from`.
    pub ack_below: u64,
}

/// Entries that a stream has sent and its client has not acknowledged, at most (06).
pub const MAX_UNACKNOWLEDGED: usize = 100;
/// Two numbers, and room for what a later version may add.
const STREAM_BODY: usize = 1 << 10;
