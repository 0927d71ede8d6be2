# What R says of the same data: written as name<TAB>value lines. Usage: Rscript programme.R trial.csv studies.csv
suppressMessages({library(sandwich); library(lme4); library(lmerTest); library(MASS); library(metafor)})
files <- commandArgs(trailingOnly = TRUE)
d <- read.csv(files[1]); d$arm <- factor(d$arm, c("control", "treatment"))
say <- function(name, values) for (i in seq_along(values)) cat(sprintf("%s.%d\t%.12g\n", name, i, values[i]))
w <- d$w / mean(d$w)
for (kind in c("binary", "count")) {
  family <- if (kind == "binary") binomial else poisson
  g <- suppressWarnings(glm(reformulate("x * arm + age", kind), family, d, weights = w))
  say(paste0(kind, ".b"), coef(g))
  for (type in c("HC0", "HC3")) say(paste0(kind, ".", type), sqrt(diag(vcovHC(g, type))))
  inverse <- family()$linkinv
  X <- function(arm, x = d$x) {
    moved <- d; moved$x <- x; moved$arm <- factor(arm, levels(d$arm)); model.matrix(~ x * arm + age, moved)
  }
  average <- function(values) weighted.mean(values, w)
  slope <- function(b, arm) average((inverse(X(arm, d$x + 1e-4) %*% b) - inverse(X(arm, d$x - 1e-4) %*% b)) / 2e-4)
  mean_at <- function(b, arm) average(inverse(X(arm, d[[paste0("at_", kind)]]) %*% b))
  read <- function(b) {
    s <- c(slope(b, "control"), slope(b, "treatment"))
    c(s, s[2] - s[1], mean_at(b, "treatment") - mean_at(b, "control"))
  }
  b <- coef(g); V <- vcovHC(g, "HC3")
  J <- sapply(seq_along(b), function(j) { h <- replace(0 * b, j, 1e-5); (read(b + h) - read(b - h)) / 2e-5 })
  say(paste0(kind, ".read"), read(b)); say(paste0(kind, ".read_se"), sqrt(diag(J %*% V %*% t(J))))
}
l <- lm(score ~ x * arm + age, d, weights = w)
for (name in c("continuous", "linear")) { say(paste0(name, ".b"), coef(l)); say(paste0(name, ".HC3"), sqrt(diag(vcovHC(l, "HC3")))) }
few <- 1:20; without <- lm(score ~ x * arm + age, d[-1, ], weights = w)
say("linear.influence", c(cooks.distance(l)[few], dfbetas(l)[few, 5], rstudent(l)[few]))
say("linear.without", c(coef(without)[5], sqrt(diag(vcovHC(without, "HC3")))[5]))
for (name in c("ordered", "ordered_weighted")) {
  d$own_weight <- if (name == "ordered") 1 else w
  o <- suppressWarnings(polr(factor(ordered) ~ x * arm + age, d, weights = own_weight, Hess = TRUE))
  k <- length(coef(o)) + length(o$zeta)
  say(paste0(name, ".b"), coef(o))
  # The sandwich by hand from each row's log likelihood: estfun of a polr with weights is not that of its own likelihood.
  D <- model.matrix(o)[, -1]; y <- as.integer(factor(d$ordered))
  each <- function(p) {
    cut <- c(-Inf, p[-seq_along(coef(o))], Inf); eta <- D %*% p[seq_along(coef(o))]
    d$own_weight * log(plogis(cut[y + 1] - eta) - plogis(cut[y] - eta))
  }
  p <- c(coef(o), o$zeta)
  S <- sapply(seq_along(p), function(j) { h <- replace(0 * p, j, 1e-5); (each(p + h) - each(p - h)) / 2e-5 })
  V <- vcov(o) %*% crossprod(S) %*% vcov(o)
  if (name == "ordered") stopifnot(all.equal(V, sandwich(o), tolerance = 1e-3, check.attributes = FALSE))
  say(paste0(name, ".HC1"), (sqrt(diag(V)) * sqrt(nrow(d) / (nrow(d) - k)))[seq_along(coef(o))])
}
d$treated <- as.numeric(d$arm == "treatment")
d$own <- ifelse(d$treated == 1, d$therapist, paste0("own", seq_len(nrow(d))))
m <- lmer(score ~ x * arm + age + (0 + treated | own), d)
say("mixed.b", fixef(m)); say("mixed.se", sqrt(diag(as.matrix(vcov(m))))); say("mixed.variances", as.data.frame(VarCorr(m))$vcov)
say("mixed.df", summary(m)$coefficients[, "df"])
s <- read.csv(files[2])
for (k in c(3, nrow(s))) {
  r <- rma(s$estimate[1:k], sei = s$se[1:k], method = "PM", test = "knha"); p <- predict(r)
  say(paste0("pooled", k), c(r$b, r$se, r$tau2, r$pval, r$ci.lb, r$ci.ub, p$pi.lb, p$pi.ub))
}
