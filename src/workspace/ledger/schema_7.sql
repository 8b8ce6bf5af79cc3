-- Lists of many articles are read in the order they were added, and the answers about one article by its id.
CREATE INDEX article_by_position ON article (position);
CREATE INDEX trace_by_pair ON trace (article, profile);
