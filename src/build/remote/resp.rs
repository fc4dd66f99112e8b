//! Redis's protocol (RESP 2), as far as ccache speaks it: commands of some words, and one reply to each.
//!
//! In: bytes of either side. Out: a command or a [`Reply`]. Neither side is trusted: what is too long, or something
//! else, is an error. Must not know what commands mean.

use std::io::{self, BufRead, Read, Write};

/// The largest entry. The largest object file is far smaller, and it is kept in memory.
pub(super) const LARGEST: usize = 64 << 20;
/// Words of a command; ccache's longest has three.
const WORDS: usize = 8;
/// Bytes of a line: a length, a status, an error message.
const LINE: u64 = 1024;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// All is well.
    Status(String),
    /// It was not done, and why.
    Error(String),
    /// A number.
    Integer(i64),
    /// Some bytes.
    Bulk(Vec<u8>),
    /// There is no such thing.
    Nil,
}

/// The next command; `None` at the end.
pub(super) fn read_command(from: &mut impl BufRead) -> io::Result<Option<Vec<Vec<u8>>>> {
    let Some(head) = line(from)? else {
        return Ok(None);
    };
    let words = head.strip_prefix('*').and_then(|text| text.parse().ok());
    let Some(words @ 1..=WORDS) = words else {
        return Err(foreign());
    };
    let word = |_| match reply(from)? {
        Reply::Bulk(word) => Ok(word),
        _ => Err(foreign()),
    };
    (0..words).map(word).collect::<io::Result<_>>().map(Some)
}

/// The next reply. Its end is an error: somebody waits for it.
pub(super) fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    reply(from)
}

fn reply(from: &mut impl BufRead) -> io::Result<Reply> {
    let head = line(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| foreign());
    let (kind, rest) = head.split_at_checked(1).ok_or_else(foreign)?;
    match kind {
        "+" => Ok(Reply::Status(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        ":" => Ok(Reply::Integer(number(rest)?)),
        "$" => match number(rest)? {
            -1 => Ok(Reply::Nil),
            length => bulk(from, length).map(Reply::Bulk),
        },
        _ => Err(foreign()),
    }
}

fn bulk(from: &mut impl BufRead, length: i64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).ok();
    let length = length.filter(|&length| length <= LARGEST);
    let wanted = length.ok_or_else(foreign)? as u64 + 2;
    // Room is made for what comes, not for what is promised.
    let mut bytes = Vec::new();
    from.take(wanted).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match bytes.ends_with(b"\r\n") {
        true => {
            bytes.truncate(bytes.len() - 2);
            Ok(bytes)
        }
        false => Err(foreign()),
    }
}

/// A line without its end; `None` where nothing comes any more.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    from.take(LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = line.strip_suffix(b"\r\n").ok_or_else(foreign)?;
    String::from_utf8(text.to_vec())
        .map(Some)
        .map_err(|_| foreign())
}

fn foreign() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "what came is not Redis's protocol",
    )
}

/// Says a command. All at once, so that it is one packet where it is short.
pub(super) fn write_command(to: &mut impl Write, words: &[&[u8]]) -> io::Result<()> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| add_bulk(&mut bytes, word));
    to.write_all(&bytes)
}

/// Says a reply.
pub(super) fn write_reply(to: &mut impl Write, reply: &Reply) -> io::Result<()> {
    match reply {
        Reply::Status(text) => to.write_all(format!("+{text}\r\n").as_bytes()),
        Reply::Error(text) => to.write_all(format!("-{text}\r\n").as_bytes()),
        Reply::Integer(number) => to.write_all(format!(":{number}\r\n").as_bytes()),
        Reply::Nil => to.write_all(b"$-1\r\n"),
        Reply::Bulk(entry) => {
            let mut bytes = Vec::with_capacity(entry.len() + 32);
            add_bulk(&mut bytes, entry);
            to.write_all(&bytes)
        }
    }
}

fn add_bulk(bytes: &mut Vec<u8>, word: &[u8]) {
    bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
    bytes.extend_from_slice(word);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_the_protocol_is_an_error() {
        let long = format!("+{}\r\n", "x".repeat(2000));
        let huge = format!("${}\r\n", LARGEST + 1);
        for text in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\n",
            "+OK\n",
            ":many\r\n",
            "$5\r\nabc",
            "$3\r\nabcde",
            "$-2\r\n",
            "*1\r\n",
            "+\u{e9}",
            "",
            long.as_str(),
            huge.as_str(),
        ] {
            let found = read_reply(&mut text.as_bytes());
            assert!(found.is_err(), "{text:.40}: {found:?}");
        }
        for text in [
            "*0\r\n",
            "*9\r\n",
            "PING\r\n",
            "*1\r\n+PING\r\n",
            "*2\r\n$1\r\na\r\n",
        ] {
            let found = read_command(&mut text.as_bytes());
            assert!(found.is_err(), "{text}: {found:?}");
        }
        assert!(matches!(read_command(&mut "".as_bytes()), Ok(None)));
    }

    proptest! {
        #[test]
        fn commands_and_replies_come_as_they_went(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..=WORDS),
            number in any::<i64>(),
        ) {
            let mut said = Vec::new();
            let each: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            write_command(&mut said, &each).expect("memory");
            prop_assert_eq!(read_command(&mut said.as_slice()).expect("fine"), Some(words.clone()));
            for reply in [
                Reply::Status("OK".to_owned()),
                Reply::Error("ERR no".to_owned()),
                Reply::Integer(number),
                Reply::Bulk(words[0].clone()),
                Reply::Nil,
            ] {
                let mut said = Vec::new();
                write_reply(&mut said, &reply).expect("memory");
                prop_assert_eq!(read_reply(&mut said.as_slice()).expect("fine"), reply);
            }
        }

        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _either = read_command(&mut bytes.as_slice());
            let _either = read_reply(&mut bytes.as_slice());
        }
    }
}
