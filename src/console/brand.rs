//! How a platform's portal looks: its name, its colour, its logo, and where it may be shown.
//!
//! One colour is given and two are made of it, one for light pages and one for dark ones, each as near to it as it may be
//! while text in it can be read on its ground; and black or white for what stands on it. So no colour can make a page unreadable.

use sha2::{Digest as _, Sha256};

use super::assets;

/// A colour: red, green, blue.
pub type Colour = [u8; 3];

/// What text has to stand out by, times its ground's: WCAG 2.2, 1.4.3.
const CONTRAST: f64 = 4.5;
/// What most of a light page is (`--raised` of the stylesheet, the darker of its grounds).
const LIGHT: Colour = [0xf4, 0xf6, 0xf9];
/// And of a dark one.
const DARK: Colour = [0x19, 0x20, 0x28];
/// Steps from a colour to black or white.
const STEPS: u32 = 20;

/// How the portal looks, and where it may be shown.
#[derive(Debug, Clone)]
pub struct Brand {
    /// What it is called.
    pub name: String,
    /// Sites that may show it in a frame: origins.
    pub embed_origins: Vec<String>,
    /// The colour of its links and buttons; ours, if none is given.
    pub accent: Option<Colour>,
    /// Its logo, a PNG; our mark, if none is given.
    pub logo: Option<Vec<u8>>,
}

impl Brand {
    /// The stylesheet of its colour, to be read behind ours.
    pub(super) fn stylesheet(&self) -> Option<String> {
        let accent = self.accent?;
        let (light, dark) = (readable(accent, LIGHT, [0; 3]), readable(accent, DARK, [255; 3]));
        let rule =
            |colour| format!("--accent: {}; --on-accent: {};", hex(colour), hex(upon(colour)));
        let (light, dark) = (rule(light), rule(dark));
        Some(format!(
            ":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ \
             :root:not([data-theme=\"light\"]) {{ {dark} }} }}\n:root[data-theme=\"dark\"] {{ {dark} }}\n"
        ))
    }

    /// What its assets are told from others by.
    pub(super) fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.accent.unwrap_or_default());
        hash.update(self.logo.as_deref().unwrap_or_default());
        assets::short(&hash.finalize())
    }
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The colour, moved towards `end` until text in it can be read on `ground`.
fn readable(colour: Colour, ground: Colour, end: Colour) -> Colour {
    let mixed = |step: u32| -> Colour {
        std::array::from_fn(|part| {
            let (from, to) = (u32::from(colour[part]), u32::from(end[part]));
            u8::try_from((from * (STEPS - step) + to * step) / STEPS).unwrap_or(u8::MAX)
        })
    };
    (0..=STEPS).map(mixed).find(|mixed| contrast(*mixed, ground) >= CONTRAST).unwrap_or(end)
}

/// Black or white, whichever can be read better on it.
fn upon(colour: Colour) -> Colour {
    let (black, white) = ([0; 3], [255; 3]);
    if contrast(black, colour) > contrast(white, colour) { black } else { white }
}

/// How far two colours stand apart: 1 to 21, as WCAG has it.
fn contrast(one: Colour, other: Colour) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: Colour) -> f64 {
    let [red, green, blue] = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_colour_is_given_everything_can_be_read() {
        for part in (0..=255).step_by(15) {
            for colour in [[part; 3], [part, 0, 0], [255, part, 0], [0, 255 - part, part]] {
                let (light, dark) =
                    (readable(colour, LIGHT, [0; 3]), readable(colour, DARK, [255; 3]));
                for (text, ground) in
                    [(light, LIGHT), (dark, DARK), (upon(light), light), (upon(dark), dark)]
                {
                    assert!(
                        contrast(text, ground) >= CONTRAST,
                        "{colour:?}: {text:?} on {ground:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_colour_that_can_be_read_stays_as_it_is() {
        assert_eq!(readable([0x1d, 0x4f, 0x8f], LIGHT, [0; 3]), [0x1d, 0x4f, 0x8f]);
        let brand = Brand {
            name: "Acme".into(),
            embed_origins: Vec::new(),
            accent: Some([0x1d, 0x4f, 0x8f]),
            logo: None,
        };
        let style = brand.stylesheet().expect("a colour");
        assert!(style.starts_with(":root { --accent: #1d4f8f; --on-accent: #ffffff; }"), "{style}");
        assert!(Brand { accent: None, ..brand }.stylesheet().is_none());
    }
}
