//! HTTP/1.1 answers of the sample, read by hand: a client that makes thousands a second on the machine that
//! also answers them must cost little. Pure.

use super::tally::Cause;

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the body begins.
    pub start: usize,
    /// How long the body is.
    pub length: usize,
    /// The status.
    pub status: u16,
    /// Whether the connection ends with it.
    pub closes: bool,
}

/// The longest head: the sample's are shorter by far.
const LONGEST: usize = 16 * 1024;

impl Head {
    /// The head of what was read so far; none if it is not whole yet.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Cause> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else {
            return if bytes.len() > LONGEST {
                Err(Cause::Garbled)
            } else {
                Ok(None)
            };
        };
        let head = bytes.get(..end).unwrap_or_default();
        let text = std::str::from_utf8(head).map_err(|_| Cause::Garbled)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(status).ok_or(Cause::Garbled)?;
        let mut found = Self {
            start: end + 4,
            length: 0,
            status,
            closes: false,
        };
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(Cause::Garbled)?;
            found.note(name, value.trim())?;
        }
        Ok(Some(found))
    }

    fn note(&mut self, name: &str, value: &str) -> Result<(), Cause> {
        if name.eq_ignore_ascii_case("content-length") {
            self.length = value.parse().map_err(|_| Cause::Garbled)?;
        } else if name.eq_ignore_ascii_case("connection") {
            self.closes = value.eq_ignore_ascii_case("close");
        }
        Ok(())
    }
}

fn status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    let number = rest.split(' ').next()?;
    version
        .starts_with("HTTP/1.")
        .then(|| number.parse().ok())?
}

/// The pod that answered: the first word of the sample's body.
pub fn pod(body: &[u8]) -> Option<&str> {
    let line = body.split(|byte| *byte == b'\n').next()?;
    let word = std::str::from_utf8(line).ok()?.split(' ').next()?;
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\ndate: x\r\nconnection: Close\r\n\r\nweb-1 203.0.113.1\n";

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        for part in 0..ANSWER.len() - 18 {
            assert_eq!(Head::read(&ANSWER[..part]), Ok(None), "{part}");
        }
        let head = Head::read(ANSWER).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.closes), (200, 18, true));
        assert_eq!(pod(&ANSWER[head.start..]), Some("web-1"));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let strange: [&[u8]; 4] = [
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 ok\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ];
        for bytes in strange {
            assert_eq!(Head::read(bytes), Err(Cause::Garbled));
        }
        assert_eq!(Head::read(&vec![b'x'; LONGEST + 1]), Err(Cause::Garbled));
        assert_eq!(pod(b""), None);
    }
}
