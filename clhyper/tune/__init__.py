"""Search over a strategy's options, on images and experiences that the reported runs aren't judged by."""
