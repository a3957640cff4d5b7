//! JSON into Lua.

use std::collections::HashMap;

use super::Json;
use crate::ffi::{Meta, TableValue, Value};

/// Structures in structures, whatever the setting says: Lua's stack has room for no more.
const DEEPEST: usize = 2000;

/// Reads one value.
pub(super) fn decode(text: &[u8], json: &Json) -> Result<Value, String> {
    let config = &json.config;
    Options {
        max_depth: usize::try_from(config.decode_max_depth.get()).unwrap_or(DEEPEST),
        invalid_numbers: config.decode_invalid.get(),
        comments: config.allow_comment.get(),
        array_meta: config
            .decode_with_array_mt
            .get()
            .then_some(json.metas.array),
    }
    .read(text)
}

/// What may be in the text, and what becomes of it.
#[derive(Clone, Copy)]
struct Options {
    max_depth: usize,
    /// `NaN`, `inf`, `0x10`, `+1`, `01`
    invalid_numbers: bool,
    comments: bool,
    array_meta: Option<Meta>,
}

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    /// How messages call it.
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Text(_) => "T_STRING",
            Self::Number(number) if is_integer(*number) => "T_INTEGER",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Error(what) => what,
        }
    }
}

fn is_integer(number: f64) -> bool {
    number.trunc() == number && number.abs() < 2f64.powi(63)
}

/// A structure that is being read.
enum Open {
    Array(Vec<Value>),
    Object {
        fields: Vec<(Value, Value)>,
        /// Where each key stands: the last of several counts.
        places: HashMap<Vec<u8>, usize>,
        key: Vec<u8>,
    },
}

impl Options {
    fn read(self, text: &[u8]) -> Result<Value, String> {
        if matches!(text, [0, _, ..] | [_, 0, ..]) {
            return Err("JSON parser does not support UTF-16 or UTF-32".to_owned());
        }
        let mut lexer = Lexer {
            text,
            at: 0,
            began: 0,
            options: self,
        };
        let mut open: Vec<Open> = Vec::new();
        let mut token = lexer.next();
        loop {
            // A value begins here.
            let mut value = match token {
                Token::Text(text) => text.into(),
                Token::Number(number) => Value::Number(number),
                Token::Boolean(yes) => Value::Boolean(yes),
                Token::Null => Value::Null,
                Token::ArrayBegin => {
                    lexer.descend(open.len())?;
                    token = lexer.next();
                    if !matches!(token, Token::ArrayEnd) {
                        open.push(Open::Array(Vec::new()));
                        continue;
                    }
                    self.array(Vec::new())
                }
                Token::ObjectBegin => {
                    lexer.descend(open.len())?;
                    token = lexer.next();
                    if !matches!(token, Token::ObjectEnd) {
                        let key = lexer.key(token)?;
                        token = lexer.next();
                        open.push(Open::Object {
                            fields: Vec::new(),
                            places: HashMap::new(),
                            key,
                        });
                        continue;
                    }
                    TableValue::default().into()
                }
                other => return Err(lexer.unexpected("value", &other)),
            };
            // And here it has ended, with all that ends with it.
            loop {
                token = lexer.next();
                let Some(level) = open.last_mut() else {
                    return match token {
                        Token::End => Ok(value),
                        other => Err(lexer.unexpected("the end", &other)),
                    };
                };
                match level.add(value, &token) {
                    Next::Value => {
                        token = lexer.next();
                        break;
                    }
                    Next::Key => {
                        let token_of_key = lexer.next();
                        let next = lexer.key(token_of_key)?;
                        if let Some(Open::Object { key, .. }) = open.last_mut() {
                            *key = next;
                        }
                        token = lexer.next();
                        break;
                    }
                    Next::Ended => {
                        value = match open.pop() {
                            Some(Open::Array(items)) => self.array(items),
                            Some(Open::Object { fields, .. }) => TableValue {
                                items: Vec::new(),
                                fields,
                            }
                            .into(),
                            None => Value::Null,
                        };
                    }
                    Next::Wrong(wanted) => return Err(lexer.unexpected(wanted, &token)),
                }
            }
        }
    }

    fn array(self, items: Vec<Value>) -> Value {
        let table = TableValue {
            items,
            fields: Vec::new(),
        };
        match self.array_meta {
            Some(meta) => Value::Dressed(Box::new(table), meta),
            None => table.into(),
        }
    }
}

/// What comes behind a value in a structure.
enum Next {
    Value,
    Key,
    Ended,
    /// This was wanted.
    Wrong(&'static str),
}

impl Open {
    fn add(&mut self, value: Value, token: &Token) -> Next {
        match self {
            Self::Array(items) => {
                items.push(value);
                match token {
                    Token::Comma => Next::Value,
                    Token::ArrayEnd => Next::Ended,
                    _ => Next::Wrong("comma or array end"),
                }
            }
            Self::Object {
                fields,
                places,
                key,
            } => {
                let key = std::mem::take(key);
                match places.get(&key) {
                    Some(place) => fields[*place].1 = value,
                    None => {
                        places.insert(key.clone(), fields.len());
                        fields.push((key.into(), value));
                    }
                }
                match token {
                    Token::Comma => Next::Key,
                    Token::ObjectEnd => Next::Ended,
                    _ => Next::Wrong("comma or object end"),
                }
            }
        }
    }
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the last token began, or what is wrong with it is.
    began: usize,
    options: Options,
}

impl Lexer<'_> {
    fn unexpected(&self, wanted: &str, found: &Token) -> String {
        let (found, place) = (found.name(), self.began + 1);
        format!("Expected {wanted} but found {found} at character {place}")
    }

    fn descend(&self, depth: usize) -> Result<(), String> {
        if depth >= self.options.max_depth.min(DEEPEST) {
            let (depth, place) = (depth + 1, self.at);
            return Err(format!(
                "Found too many nested data structures ({depth}) at character {place}"
            ));
        }
        Ok(())
    }

    /// The text of a token that has to be a key, with the colon behind it.
    fn key(&mut self, token: Token) -> Result<Vec<u8>, String> {
        let Token::Text(key) = token else {
            return Err(self.unexpected("object key string", &token));
        };
        match self.next() {
            Token::Colon => Ok(key),
            other => Err(self.unexpected("colon", &other)),
        }
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Token {
        if let Err(wrong) = self.skip() {
            return self.error(wrong);
        }
        self.began = self.at;
        let Some(byte) = self.rest().first() else {
            return Token::End;
        };
        let single = match byte {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => return self.number(),
            _ => return self.word(),
        };
        self.at += 1;
        single
    }

    /// Passes over white space, and comments where they may be.
    fn skip(&mut self) -> Result<(), &'static str> {
        loop {
            let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
            self.at += self.rest().iter().take_while(is_space).count();
            match self.rest() {
                [b'/', b'/', ..] if self.options.comments => {
                    let line = self.rest().iter().position(|byte| *byte == b'\n');
                    self.at = line.map_or(self.text.len(), |line| self.at + line);
                }
                [b'/', b'*', inner @ ..] if self.options.comments => {
                    let end = inner.windows(2).position(|pair| pair == b"*/");
                    let Some(end) = end else {
                        self.at = self.text.len();
                        return Err("unclosed multi-line comment");
                    };
                    self.at += end + 4;
                }
                _ => return Ok(()),
            }
        }
    }

    fn word(&mut self) -> Token {
        for (word, token) in [
            (b"true".as_slice(), Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        if self.options.invalid_numbers
            && let Some((number, len)) = unusual_number(self.rest())
        {
            self.at += len;
            return Token::Number(number);
        }
        self.error("invalid token")
    }

    fn number(&mut self) -> Token {
        let unusual = unusual_number(self.rest());
        if unusual.is_some() && !self.options.invalid_numbers {
            return self.error("invalid number");
        }
        match unusual.or_else(|| decimal(self.rest())) {
            Some((number, len)) => {
                self.at += len;
                Token::Number(number)
            }
            None => self.error("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match *self.rest() {
                [b'"', ..] => {
                    self.at += 1;
                    return Token::Text(text);
                }
                [b'\\', b'u', ..] => match escaped_character(self.rest()) {
                    Some((character, len)) => {
                        text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                        self.at += len;
                    }
                    None => return self.error("invalid unicode escape code"),
                },
                [b'\\', letter, ..] => match unescaped(letter) {
                    Some(byte) => {
                        text.push(byte);
                        self.at += 2;
                    }
                    None => return self.error("invalid escape code"),
                },
                [b'\\'] => return self.error("invalid escape code"),
                [0, ..] | [] => return self.error("unexpected end of string"),
                [byte, ..] => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// Something is wrong here.
    fn error(&mut self, what: &'static str) -> Token {
        self.began = self.at;
        Token::Error(what)
    }
}

fn unescaped(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'f' => 0x0c,
        b'r' => b'\r',
        _ => return None,
    })
}

/// `\u00e9`, or `\ud83d\ude00`, and how long it is.
fn escaped_character(text: &[u8]) -> Option<(char, usize)> {
    let high = code_unit(text)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some((char::from_u32(high)?, 6));
    }
    let low = code_unit(text.get(6..)?)?;
    if !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    Some((char::from_u32(code)?, 12))
}

fn code_unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
}

/// A number as C reads it, and how long it is.
fn decimal(text: &[u8]) -> Option<(f64, usize)> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut len = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let whole = digits(len);
    len += whole;
    let mut fraction = 0;
    if text.get(len) == Some(&b'.') {
        fraction = digits(len + 1);
        if whole + fraction > 0 {
            len += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'-' | b'+')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    let number = std::str::from_utf8(&text[..len]).ok()?.parse().ok()?;
    Some((number, len))
}

/// What C reads as a number and JSON does not: with a plus, zeros at its beginning, in hexadecimal
/// digits, without an end or without a value.
fn unusual_number(text: &[u8]) -> Option<(f64, usize)> {
    if text.first() == Some(&b'+') {
        let (number, len) = named(&text[1..]).or_else(|| decimal(&text[1..]))?;
        return Some((number, len + 1));
    }
    let negative = text.first() == Some(&b'-');
    let bare = &text[usize::from(negative)..];
    let (number, len) = match bare {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits),
        [b'0', b'0'..=b'9', ..] => decimal(bare),
        _ => named(bare),
    }?;
    let number = if negative { -number } else { number };
    Some((number, len + usize::from(negative)))
}

fn named(text: &[u8]) -> Option<(f64, usize)> {
    [
        (b"infinity".as_slice(), f64::INFINITY),
        (b"inf", f64::INFINITY),
        (b"nan", f64::NAN),
    ]
    .into_iter()
    .find(|(name, _)| {
        text.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    })
    .map(|(name, number)| (number, name.len()))
}

/// The digits behind `0x`; without any, it is the zero before them.
fn hexadecimal(digits: &[u8]) -> Option<(f64, usize)> {
    let values = digits
        .iter()
        .map_while(|digit| char::from(*digit).to_digit(16));
    let (number, count) = values.fold((0.0, 0), |(number, count), digit| {
        (number * 16.0 + f64::from(digit), count + 1)
    });
    Some((number, if count == 0 { 1 } else { count + 2 }))
}
