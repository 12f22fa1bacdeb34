"""Images on their way from a data set to a batch: decoding, views, augmentation and loading."""
