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
}
l <- lm(score ~ x * arm + age, d, weights = w)
say("continuous.b", coef(l)); say("continuous.HC3", sqrt(diag(vcovHC(l, "HC3"))))
o <- polr(factor(ordered) ~ x * arm + age, d, Hess = TRUE)
k <- length(coef(o)) + length(o$zeta)
say("ordered.b", coef(o)); say("ordered.HC1", (sqrt(diag(sandwich(o))) * sqrt(nrow(d) / (nrow(d) - k)))[seq_along(coef(o))])
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
