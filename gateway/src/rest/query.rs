//! Query strings, taken apart.

use std::borrow::Cow;

/// The parameters of a query string: names and values, "%20" and "+" undone. A value that is not UTF-8 once undone is an error
/// that names the parameter.
pub fn parameters(query: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), String>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (undone(name, true), undone(value, true)) {
            (Some(name), Some(value)) => Ok((name, value)),
            _ => Err(name.to_owned()),
        }
    })
}

/// Undoes "%20", and "+" where it means a blank. Nothing where the outcome is not UTF-8.
pub fn undone(text: &str, plus: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let hex = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
    };
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let rest = bytes.clone();
                match (hex(bytes.next()), hex(bytes.next())) {
                    (Some(high), Some(low)) => plain.push(high << 4 | low),
                    _ => {
                        plain.push(b'%');
                        bytes = rest;
                    }
                }
            }
            b'+' if plus => plain.push(b' '),
            byte => plain.push(byte),
        }
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_undone() {
        let all: Vec<_> = parameters("a=1&b=x+y%20z&&c&d=%C3%A4&e=50%&f=%zz").collect::<Result<_, _>>().unwrap();
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        assert_eq!(all, [("a", "1"), ("b", "x y z"), ("c", ""), ("d", "ä"), ("e", "50%"), ("f", "%zz")]);
        assert_eq!(parameters("bad=%ff").next().unwrap().unwrap_err(), "bad");
        assert_eq!(undone("a+b", false).unwrap(), "a+b");
    }
}
