# What R says: coefficients, errors, slopes, regions and tests of published data, one quantity a line.
# Usage: Rscript reference.R DATA_FOLDER OUT.tsv      (Debian: r-base-core r-cran-sandwich r-cran-clubsandwich r-cran-car
# r-cran-emmeans r-cran-lavaan r-cran-aer r-cran-mice)
suppressPackageStartupMessages({
  library(sandwich); library(clubSandwich); library(car); library(emmeans); library(lavaan); library(AER); library(mice)
})
emm_options(opt.digits = FALSE)
arguments <- commandArgs(trailingOnly = TRUE)
read <- function(name) read.delim(file.path(arguments[1], name), check.names = FALSE, stringsAsFactors = TRUE)
states <- read("state_x77.tsv"); cars <- read("mtcars.tsv"); anorexia <- read("anorexia.tsv")
names(states)[names(states) == "HS Grad"] <- "HS"
cars$arm <- factor(ifelse(cars$cyl == 4, "four", "more"))
out <- list()
put <- function(name, values) for (i in seq_along(values)) out[[paste(name, i, sep = "|")]] <<- values[[i]]

covariances <- function(m) list(
  OLS = vcov(m), HC0 = vcovHC(m, "HC0"), HC1 = vcovHC(m, "HC1"), HC2 = vcovHC(m, "HC2"), HC3 = vcovHC(m, "HC3"),
  HC4 = vcovHC(m, "HC4"))

# Johnson and Neyman's two values from the coefficients, their covariance and t.
ends <- function(b, V, t) {
  A <- b[2]^2 - t^2 * V[2, 2]; B <- 2 * (b[1] * b[2] - t^2 * V[1, 2]); C <- b[1]^2 - t^2 * V[1, 1]
  d <- B^2 - 4 * A * C
  if (d < 0) c(NA, NA) else sort((-B + c(-1, 1) * sqrt(d)) / (2 * A))
}

continuous <- function(name, m, x, z, at) {
  product <- paste0(x, ":", z); t <- qt(.975, df.residual(m)); V <- covariances(m)
  put(paste0(name, " estimate"), coef(m))
  for (kind in names(V)) {
    put(paste(name, kind, "se"), sqrt(diag(V[[kind]])))
    put(paste(name, kind, "region"), ends(coef(m)[c(x, product)], V[[kind]][c(x, product), c(x, product)], t))
    trend <- summary(emtrends(m, as.formula(paste("~", z)), var = x, at = setNames(list(at), z), vcov. = V[[kind]]),
                     infer = TRUE)
    put(paste(name, kind, "slope"), trend[[paste0(x, ".trend")]])
    put(paste(name, kind, "slope se"), trend$SE)
    put(paste(name, kind, "slope low"), trend$lower.CL)
    put(paste(name, kind, "slope p"), trend$p.value)
    put(paste(name, kind, "wald"), linearHypothesis(m, paste(product, "= 0"), vcov. = V[[kind]])$F[2])
  }
  s <- summary(m)
  put(paste(name, "r2"), s$r.squared); put(paste(name, "adjusted r2"), s$adj.r.squared); put(paste(name, "F"), s$fstatistic[1])
}
continuous("states", lm(Income ~ Illiteracy * Murder, states), "Illiteracy", "Murder", c(3, 7, 11))
continuous("states+HS", lm(Income ~ Illiteracy * Murder + HS, states), "Illiteracy", "Murder", c(3, 7, 11))
continuous("cars", lm(mpg ~ hp * wt, cars), "hp", "wt", c(2, 3, 4))

m <- lm(Postwt ~ Prewt * Treat, anorexia); V <- covariances(m)
put("anorexia estimate", coef(m))
for (kind in names(V)) {
  trend <- emtrends(m, ~Treat, var = "Prewt", vcov. = V[[kind]])
  put(paste("anorexia", kind, "se"), sqrt(diag(V[[kind]])))
  put(paste("anorexia", kind, "slope"), summary(trend)$Prewt.trend)
  put(paste("anorexia", kind, "slope se"), summary(trend)$SE)
  differences <- summary(pairs(trend, reverse = TRUE, adjust = "none"))
  put(paste("anorexia", kind, "difference"), differences$estimate)
  put(paste("anorexia", kind, "difference se"), differences$SE)
  put(paste("anorexia", kind, "difference p"), differences$p.value)
  put(paste("anorexia", kind, "wald"),
      linearHypothesis(m, c("Prewt:TreatCont = 0", "Prewt:TreatFT = 0"), vcov. = V[[kind]])$F[2])
  means <- summary(emmeans(m, ~Treat, at = list(Prewt = 80), vcov. = V[[kind]]))
  put(paste("anorexia", kind, "mean at 80"), means$emmean); put(paste("anorexia", kind, "mean se"), means$SE)
}

m <- lm(mpg ~ hp * wt, cars); V <- vcovCR(m, cluster = cars$carb, type = "CR2")
tests <- coef_test(m, vcov = V, test = "Satterthwaite")
own <- ifelse(cars$am == 1, cars$carb, 100 + seq_len(nrow(cars))); nested <- lm(mpg ~ hp * am, cars)
nested <- coef_test(nested, vcov = vcovCR(nested, cluster = own, type = "CR2"), test = "Satterthwaite")
put("CR2 nested se", nested$SE); put("CR2 nested df", nested$df_Satt); put("CR2 nested p", nested$p_Satt)
joint <- Wald_test(m, constrain_zero(2:4), vcov = V, test = "HTZ")
put("CR2 joint", c(joint$Fstat, joint$df_denom, joint$p_val))
put("CR2 se", tests$SE); put("CR2 df", tests$df_Satt); put("CR2 p", tests$p_Satt)
slope <- linear_contrast(m, vcov = V, contrasts = matrix(c(0, 1, 0, 3), 1), test = "Satterthwaite")
put("CR2 slope", c(slope$Est, slope$SE, slope$df, slope$CI_L, slope$CI_U))

i <- influence.measures(m)$infmat
put("influence dfbetas", i[, "dfb.hp:w"]); put("influence cook", i[, "cook.d"]); put("influence hat", i[, "hat"])
put("influence studentised", rstudent(m))

censored <- survreg(Surv(pmin(mpg, 24), mpg < 24, type = "right") ~ hp * wt, cars, dist = "gaussian",
                    control = survreg.control(rel.tolerance = 1e-12, maxiter = 100))
put("tobit estimate", coef(censored)); put("tobit se", sqrt(diag(vcov(censored)))[1:4])

iv <- ivreg(mpg ~ hp + am + hp:am | hp + arm + hp:arm, data = cars)
put("complier estimate", coef(iv)); put("complier se", sqrt(diag(vcov(iv))))
put("complier HC1 se", sqrt(diag(vcovHC(iv, "HC1"))))

# Mediation by PROCESS's number: x the cause, m the mediator, w the moderator, y the outcome. One path model each.
paths <- function(name, model, frame) {
  first <- model %in% c(7, 8, 58, 59); second <- model %in% c(14, 15, 58, 59); direct <- model %in% c(5, 8, 15, 59)
  frame$xw <- frame$x * frame$w; frame$mw <- frame$m * frame$w
  syntax <- c(
    paste("m ~ a*x", if (first) "+ w + aw*xw"),
    paste("y ~ b*m + c*x", if (second || direct || !first) "+ w", if (direct) "+ cw*xw", if (second) "+ bw*mw"))
  # Where the moderator is 0 and 1 (arms), or at its mean and one SD on either side.
  at <- if (all(frame$w %in% 0:1)) c(0, 1) else mean(frame$w) + c(-1, 0, 1) * sd(frame$w)
  for (i in seq_along(at)) {
    z <- sprintf("%.15g", at[i])
    syntax <- c(syntax, sprintf("i%d := (a %s) * (b %s)", i, if (first) paste("+ aw *", z) else "", if (second) paste("+ bw *", z) else ""))
    if (direct) syntax <- c(syntax, sprintf("d%d := c + cw * %s", i, z))
  }
  if (first != second) syntax <- c(syntax, if (first) "index := aw * b" else "index := a * bw")
  # Centred columns have the same paths and another intercept; the optimiser comes nearer.
  fitted <- sem(paste(gsub("+ + ", "+ ", syntax, fixed = TRUE), collapse = "\n"), as.data.frame(scale(frame, scale = FALSE)), fixed.x = TRUE, meanstructure = TRUE,
                control = list(rel.tol = 1e-14, x.tol = 1e-14, iter.max = 10000))
  e <- parameterEstimates(fitted); value <- setNames(e$est, e$label)
  put(paste("mediation", name, model, "paths"), value[c("b", if (second) "bw", "a", if (first) "aw", if (!direct) "c")])
  put(paste("mediation", name, model, "indirect"), value[paste0("i", if (first || second) seq_along(at) else 1)])
  if (direct) put(paste("mediation", name, model, "direct"), value[paste0("d", seq_along(at))])
  if (first != second) put(paste("mediation", name, model, "index"), value["index"])
}
more <- as.numeric(cars$arm == "more"); hundreds <- cars$hp / 100
for (model in c(4, 5, 7, 8, 14, 15, 58, 59)) {
  paths("arm", model, data.frame(x = more, m = cars$wt, w = hundreds, y = cars$mpg))
  paths("predictor", model, data.frame(x = hundreds, m = cars$wt, w = more, y = cars$mpg))
}

# Two one-sided tests of both slopes and of their difference, at two margins.
m <- lm(mpg ~ hundreds * arm, transform(cars, hundreds = hp / 100))
for (kind in c("OLS", "HC3")) for (margin in c(2, 6)) {
  trend <- emtrends(m, ~arm, var = "hundreds", vcov. = covariances(m)[[kind]])
  put(paste("tost", kind, margin), c(
    test(trend, delta = margin, side = "equivalence")$p.value,
    test(pairs(trend, reverse = TRUE), delta = margin, side = "equivalence")$p.value))
}

pooled <- pool.scalar(c(1.1, 0.9, 1.4, 1.2, 0.7), c(.20, .25, .22, .18, .24), n = 44, k = 4)
put("rubin", c(pooled$qbar, pooled$t, pooled$df))

frame <- data.frame(quantity = names(out), value = sprintf("%.15g", unlist(out)))
write.table(frame, arguments[2], sep = "\t", quote = FALSE, row.names = FALSE)
