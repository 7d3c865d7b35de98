//! Back ends that break a promise on purpose, and the promise that has to notice: a suite that passes
//! everything is no suite.
